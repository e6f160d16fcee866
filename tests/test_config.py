"""kit.toml: what is refused, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import Config, load, parse
from kit.errors import ConfigError, KitError
from kit.stages.init import render

MINIMAL = '[data]\ntrain = "practice"\n'


def test_naming_the_training_set_is_enough() -> None:
    config = parse(MINIMAL)
    assert config.data.train == "practice"
    assert config.folds.n == 5
    assert config.ensemble_runs() == tuple(config.runs)


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("[fold]\nn = 3\n", "`fold`", "did you mean `folds`?"),
        ("[folds]\nseeds = 3\n", "`folds.seeds`", "did you mean `seed`?"),
        ('[runs.a]\nbackbone = "plain-cnn"\nbatch = 8\n', "`runs.a.batch`", "did you mean `batch_size`?"),
        ('[runs.head]\nbackbone = "plain-cnn"\nbatch = 8\n', "`runs.head.batch`", "did you mean `batch_size`?"),
        (
            '[runs.a]\nbackbone = "plain-cnn"\nstages = [{ train = "all", epoch = 3 }]\n',
            "`runs.a.stages.0.epoch`",
            "did you mean `epochs`?",
        ),
        (
            '[runs.a]\nbackbone = "plain-cnn"\nhead = { dropot = 0.1 }\n',
            "`runs.a.head.dropot`",
            "did you mean `dropout`?",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(text: str, where: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(MINIMAL + text)
    assert where in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`data` is missing"),
        ("[data]\n", "`data.train` is missing"),
        (MINIMAL + "[folds]\nn = 1\n", "`folds.n` = 1: "),
        (MINIMAL + '[competition]\nmetric = "acuracy"\n', "`competition.metric` = 'acuracy': "),
        (MINIMAL + '[competition]\ntask = "multi"\n', "`competition.task` = 'multi': "),
        (MINIMAL + '[runs.a]\nbackbone = "x"\nstages = []\n', "needs at least one stage"),
        (MINIMAL + '[runs.a]\nbackbone = "x"\nviews = ["flip-lr"]\n', 'views must start with "identity"'),
        (MINIMAL + '[runs."a/b"]\nbackbone = "x"\n', "letters, digits"),
        (MINIMAL + '[ensemble]\nruns = ["nobody"]\n', "'nobody', which is not a run"),
        (MINIMAL + '[runs.a]\nextends = "b"\n', "extends 'b', which is not a run"),
        ("[data\n", "is not TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_key_and_value(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_run_extends_another_by_one_level() -> None:
    text = MINIMAL + '[runs.a]\nbackbone = "plain-cnn"\nseed = 7\n[runs.b]\nextends = "a"\nbackbone = "residual-cnn"\n'
    config = parse(text)
    assert (config.runs["b"].backbone, config.runs["b"].seed) == ("residual-cnn", 7)
    with pytest.raises(ConfigError, match="itself extends another run"):
        parse(text + '[runs.c]\nextends = "b"\n')


def test_the_configuration_is_frozen() -> None:
    config = parse(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.folds.n = 3  # type: ignore[misc]


def test_a_missing_file_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "kit.toml")
    assert caught.value.hint == "kit init"


@given(st.text())
def test_any_text_is_a_configuration_or_a_kit_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Config)
    except KitError as error:
        assert error.message


@pytest.mark.parametrize("train", ["practice", "digits", "raw/train.npz", 'odd"name\\.npz'])
def test_what_init_writes_is_a_valid_configuration(train: str) -> None:
    assert parse(render("kit.toml.tmpl", train)).data.train == train


def test_every_key_is_described() -> None:
    def walk(model: type) -> None:
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            inner = getattr(field.annotation, "model_fields", None)
            assert field.description or inner, f"{model.__name__}.{name} has no description"
            if inner:
                walk(field.annotation)

    walk(Config)


def test_the_runs_of_a_new_project_are_those_that_a_file_without_runs_gets() -> None:
    assert parse(render("kit.toml.tmpl", "raw.npz")).runs == parse('[data]\ntrain = "raw.npz"').runs
