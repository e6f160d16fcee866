"""Is a difference one, and which ingredient makes it: laws of the statistics, and runs from the outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import write_stressed_fold

from kit.base.events import Event, silent
from kit.config import Config, RunConfig, load, parse
from kit.errors import ConfigError, DataError, StageError
from kit.judge import score
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.sweep import ONE_VIEW, plan_sweep, variants, with_variants
from kit.stages.clean.clean import clean
from kit.stages.compare import compare, sentence
from kit.stages.compare.effects import Compared, Effect, Recipe, SeedNoise, compared, effect, holm, seed_noise, verdict
from kit.stages.folds import make_folds
from kit.stages.init import known_recipes, recipe_text
from kit.stages.train.train import train
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

sys.path.insert(0, str(Path(__file__).parent / "train"))

from stub import InProcess

pytestmark = pytest.mark.stage

UNKNOWN = SeedNoise(None, 0)


def predicted(seed: int, y: Any, skill: float) -> Any:
    """(N, 3) probabilities of a model that is right the more often the larger its skill."""
    logits = np.random.default_rng(seed).normal(size=(len(y), 3)) + skill * np.eye(3)[y]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def recipe(name: str, *probas: Any) -> Recipe:
    return Recipe(name, tuple(f"{name}-{number}" for number in range(len(probas))), probas)


LABELS = np.arange(300) % 3
WEAK = recipe("weak", predicted(0, LABELS, 1.0), predicted(1, LABELS, 1.0))
STRONG = recipe("strong", predicted(2, LABELS, 2.0), predicted(3, LABELS, 2.0))


@pytest.mark.parametrize("metric", ["accuracy", "nll", "macro_f1", "auc"])
def test_a_gain_is_positive_where_it_is_better_and_turns_round_with_the_sides(metric: str) -> None:
    noise = SeedNoise(0.01, 2)
    there, back = effect(metric, LABELS, STRONG, WEAK, noise), effect(metric, LABELS, WEAK, STRONG, noise)
    assert there.gain > 0
    assert there.gain == pytest.approx(-back.gain)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), rel=0.1)
    assert there.low < there.gain < there.high


def test_a_recipe_does_not_differ_from_itself() -> None:
    found = effect("accuracy", LABELS, WEAK, WEAK, SeedNoise(0.02, 1))
    assert (found.gain, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert verdict(found, found.p) == "no difference to be seen"


def test_with_one_seed_each_only_the_rows_speak() -> None:
    one, other = recipe("one", STRONG.probas[0]), recipe("other", WEAK.probas[0])
    found = effect("accuracy", LABELS, one, other, UNKNOWN)
    paired = score.difference("accuracy", LABELS, STRONG.probas[0], WEAK.probas[0], seed=0)
    assert found.gain == paired.score and found.rows == paired.se and found.seeds is None
    assert (found.low, found.high) == pytest.approx((paired.low, paired.high), abs=0.3 * paired.se)


def test_one_view_of_a_run_is_held_against_the_same_network_without_the_noise_of_seeds() -> None:
    one_view = Recipe("one", WEAK.runs[:1], (predicted(9, LABELS, 1.1),))
    found = effect("accuracy", LABELS, one_view, WEAK, SeedNoise(0.05, 1))
    assert found.seeds == 0
    assert found.gain == pytest.approx(
        score.score("accuracy", LABELS, one_view.probas[0]) - score.score("accuracy", LABELS, WEAK.probas[0])
    )


def test_the_noise_of_seeds_is_pooled_within_recipes() -> None:
    assert seed_noise([[0.5], [0.7]]) == UNKNOWN
    found = seed_noise([[0.8, 0.9], [0.5], [0.1, 0.2, 0.3]])
    assert found.freedom == 3
    assert found.deviation == pytest.approx(((0.005 + 0.02) / 3) ** 0.5)


@pytest.mark.matrix
def test_where_seeds_are_all_there_is_one_comparison_in_twenty_calls_it_real_and_rows_alone_many_more() -> None:
    rng, real, rows_alone, trials, labels = np.random.default_rng(0), 0, 0, 100, np.arange(150) % 3
    for _ in range(trials):
        # Six networks of one recipe; each seed has a skill of its own.
        probas = [predicted(int(rng.integers(1 << 30)), labels, 1.5 + 0.5 * rng.normal()) for _ in range(6)]
        ours, base = recipe("ours", *probas[:3]), recipe("base", *probas[3:])
        noise = seed_noise([[score.score("accuracy", labels, p) for p in one.probas] for one in (ours, base)])
        real += effect("accuracy", labels, ours, base, noise).p < 0.05
        rows_alone += effect("accuracy", labels, ours, base, UNKNOWN).p < 0.05
    assert real <= 0.08 * trials
    assert rows_alone > 3 * max(real, 1)


def test_holms_values_are_those_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_values_keep_the_order_and_lie_between_one_and_all_times(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(one <= found <= min(1, len(p) * one) + 1e-12 for one, found in zip(p, adjusted, strict=True))
    assert [adjusted[n] for n in np.argsort(p, kind="stable")] == sorted(adjusted)


def test_the_mean_of_replicates_does_not_depend_on_their_order() -> None:
    there = score.contrast("nll", LABELS, STRONG.probas, WEAK.probas, seed=0)
    back = score.contrast("nll", LABELS, STRONG.probas[::-1], WEAK.probas[::-1], seed=0)
    assert there.score == pytest.approx(back.score) and there.se == pytest.approx(back.se, rel=0.1)
    singles = [score.score("nll", LABELS, proba) for proba in (*STRONG.probas, *WEAK.probas)]
    assert there.score == pytest.approx(np.mean(singles[:2]) - np.mean(singles[2:]))


def line(recipe: Recipe, found: Effect, p: float) -> Compared:
    said = verdict(found, p)
    return Compared(recipe=recipe.name, runs=("r",), score=0.9, between_seeds=None, effect=found, verdict=said)


def test_words_say_what_was_found() -> None:
    found = effect("accuracy", LABELS, STRONG, WEAK, UNKNOWN)
    assert sentence("accuracy", line(STRONG, found, 0.001), "weak").startswith("strong is better than weak by ")
    assert "one may look like this by chance" in sentence("accuracy", line(STRONG, found, 0.2), "weak")
    worse = effect("nll", LABELS, WEAK, STRONG, UNKNOWN)
    assert sentence("nll", line(WEAK, worse, 0.001), "strong").startswith("weak is worse than strong by 0.")
    same = effect("nll", LABELS, WEAK, WEAK, UNKNOWN)
    assert "weak against strong: no difference to be seen" in sentence("nll", line(WEAK, same, 1.0), "strong")


def test_what_is_called_real_allows_for_all_that_was_looked_at() -> None:
    many = [recipe(f"r{seed}", predicted(seed, LABELS, 1.2)) for seed in range(10, 40)]
    lines, _ = compared("accuracy", LABELS, many, seed=0)
    assert sum(line.verdict in ("better", "worse") for line in lines) == 0
    effects = [line.effect for line in lines[1:] if line.effect]
    adjusted = holm([found.p for found in effects])
    assert [line.verdict for line in lines] == ["", *map(verdict, effects, adjusted)]


# --- one ingredient at a time

FULL = """
[data]
train = "small.npz"
[runs.a]
backbone = "mobilenetv2"
weights = "imagenet"
head = { units = [32], dropout = [0.2, 0.1], batch_norm = ["units"], l2 = 1e-4 }
preprocess = [{ op = "clahe" }, { op = "resize", size = 64 }]
augment = [
  { op = "dihedral" },
  { op = "one-of", weights = [3, 5, 7], ops = [{ op = "cutout" }, { op = "noise" }, { op = "hue" }] },
  { op = "maybe", ops = [{ op = "cutmix" }] },
]
loss = "focal"
class_weights = "balanced"
label_smoothing = 0.1
stages = [{ train = "head", epochs = 2, lr = 1e-3 }, { train = "all", epochs = 3, ema = 0.9, early_stopping = 3 }]
"""


def test_every_ingredient_that_is_there_is_left_out_once() -> None:
    settings = parse(FULL).runs["a"]
    found = variants(settings)
    assert set(found) == {
        "no-dihedral", "no-one-of", "no-cutout", "no-noise", "no-hue", "no-cutmix", "no-clahe", "no-class-weights",
        "no-focal-loss", "no-label-smoothing", "no-dense-layers", "no-head-batch-norm", "no-dropout", "no-penalty",
        "no-ema", "no-weight-decay", "no-early-stopping", "constant-rate", "batch-norm-trained", "no-stage-1",
        "no-stage-2", "one-view",
    }  # fmt: skip
    assert [entry.op for entry in found["no-dihedral"].augment] == ["one-of", "maybe"]
    assert found["no-noise"].augment[1].options["weights"] == [3, 7]
    assert [entry.op for entry in found["no-cutmix"].augment] == ["dihedral", "one-of"]
    assert found["no-dense-layers"].head.dropout == 0.2


@pytest.mark.parametrize("name", known_recipes())
def test_a_variant_differs_from_its_run_in_one_key_and_can_be_named_as_a_folder(name: str) -> None:
    config = parse(recipe_text(name))
    for run, settings in config.runs.items():
        raw = settings.model_dump(mode="json")
        for change, varied in variants(settings).items():
            dump = varied.model_dump(mode="json")
            assert sum(dump[key] != raw[key] for key in raw) == 1, change
            assert change.replace("-", "").isalnum()
            assert with_variants(config, [f"{run}~{change}"]).runs[f"{run}~{change}"] == varied


def test_two_entries_of_one_kind_have_names_of_their_own() -> None:
    settings = RunConfig(
        backbone="plain-cnn", augment=[{"op": "noise"}, {"op": "flip"}, {"op": "noise", "deviation": 3}]
    )
    found = variants(settings)
    assert [entry.op for entry in found["no-noise"].augment] == ["flip", "noise"]
    assert [entry.op for entry in found["no-noise-2"].augment] == ["noise", "flip"]


def test_a_sweep_is_the_run_its_other_seeds_and_its_changes() -> None:
    config = parse(FULL)
    names = plan_sweep(config, "a", ["no-clahe"], seeds=3)
    assert names == ["a", "a~seed-1", "a~seed-2", "a~no-clahe"]
    runs = with_variants(config, names).runs
    assert [runs[name].seed for name in names] == [0, 1, 2, 0]
    with pytest.raises(ConfigError, match="unknown change 'no-clah' of run 'a'"):
        plan_sweep(config, "a", ["no-clah"], seeds=1)
    with pytest.raises(ConfigError, match="no run 'b'"):
        with_variants(config, ["b~no-clahe"])


# --- runs of a project

SMALL = """
[data]
train = "small.npz"
[folds]
n = 2
[train]
workers = 1
[runs.a]
backbone = "plain-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 2, lr = 0.5 }]
views = ["identity", "flip-lr"]
batch_size = 8
[runs.a-again]
extends = "a"
seed = 7
[runs.b]
extends = "a"
stages = [{ train = "all", epochs = 2, lr = 1e-6 }]
[runs.c]
extends = "a"
batch_size = 32
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs `a`, the same under another seed, and a `b` that learns nothing, trained by a stub; `c` on one fold."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 120, (120, 16, 16, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, 2:14, 2:14, label] += 90
    np.savez(folder / "small.npz", images=images, labels=labels)
    (folder / "kit.toml").write_text(SMALL)
    layout, config = project_of(folder)
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    train(layout, config, silent, runs=["a", "a-again", "b"], launch=InProcess())
    train(layout, config, silent, runs=["c"], fold=1, launch=InProcess())
    return folder


def project_of(folder: Path) -> tuple[Layout, Config]:
    layout = Layout(folder)
    return layout, load(layout.config)


def test_runs_of_one_recipe_are_its_seeds_and_rows_are_paired(folder: Path) -> None:
    layout, config = project_of(folder)
    heard: list[Event] = []
    report = compare(layout, config, heard.append, ["a", "b", "a-again"]).clean
    first, second = report.recipes
    assert first.runs == ("a", "a-again") and second.runs == ("b",)
    assert report.rows == 120 and report.seed_noise is not None
    assert second.effect is not None and second.effect.gain == pytest.approx(second.score - first.score)
    assert second.effect.gain < 0
    assert second.effect.high - second.effect.low > 4 * second.effect.rows  # both noises
    assert any("between seeds" in event.text for event in heard)


def test_with_one_seed_the_other_noise_is_said_to_be_unknown(folder: Path) -> None:
    heard: list[Event] = []
    report = compare(*project_of(folder), heard.append, ["a", "b"], metric="nll").clean
    assert report.seed_noise is None and report.metric == "nll"
    assert next(event.text for event in heard if event.kind == "warn").startswith("every recipe has one seed")


def test_what_is_not_trained_is_refused_or_left_out_by_name(folder: Path) -> None:
    with pytest.raises(StageError, match="fold 0 of run `c` has no predictions"):
        compare(*project_of(folder), silent, ["a", "c"])
    heard: list[Event] = []
    report = compare(*project_of(folder), heard.append, ["a", "c", "b"], partial=True).clean
    assert [line.recipe for line in report.recipes] == ["a", "b"]
    assert "c is left out: fold 0 is not done" in [event.text for event in heard]
    report = compare(*project_of(folder), silent, ["c", "a"], partial=True).clean
    assert report.rows == 60  # the fold that both have
    with pytest.raises(StageError, match="needs at least two recipes: a and a-again differ only in the seed"):
        compare(*project_of(folder), silent, ["a", "a-again"])
    with pytest.raises(DataError, match="unknown metric `acuracy`"):
        compare(*project_of(folder), silent, ["a", "b"], metric="acuracy")


def test_one_view_is_read_from_the_runs_own_files(folder: Path) -> None:
    layout, config = project_of(folder)
    names = ["a", f"a{ONE_VIEW}"]
    report = compare(layout, with_variants(config, names), silent, names).clean
    spec = plan_runs(layout, config, ["a"])["a"][0]
    assert load_predictions(spec.run_paths.oof).views == ("identity", "flip-lr")
    effect = report.recipes[1].effect
    assert effect is not None and effect.seeds in (None, 0)
    assert not list(folder.glob("runs/a~*"))


def test_rows_under_stress_are_compared_where_all_runs_have_them_and_are_true(folder: Path) -> None:
    layout, config = project_of(folder)
    rng = np.random.default_rng(0)
    assert compare(layout, config, silent, ["a", "b"]).stressed is None
    for name, skill in (("a", 0.0), ("b", 5.0)):
        for spec in plan_runs(layout, config, [name])[name]:
            valid = load_predictions(spec.paths.valid)
            y = np.array([int(one) % 3 for one in valid.ids.tolist()])
            logits = rng.normal(size=valid.logits.shape) + skill * np.eye(3)[y]
            write_stressed_fold(spec, config, valid.ids, logits)
    found = compare(layout, config, silent, ["a", "b"]).stressed
    assert found is not None and found.rows == 120 and found.recipes[1].verdict == "better"
    heard: list[Event] = []
    found = compare(layout, config, heard.append, ["a", "b", "a-again"]).stressed
    assert found is not None and len(found.recipes) == 2
    assert any("not compared under stress: a-again" in event.text for event in heard)
    other = parse(SMALL + "[stress]\nclean = 0.5\n")
    assert compare(layout, other, silent, ["a", "b"]).stressed is None


@pytest.mark.tf
@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_sweep_trains_what_is_missing_and_leaves_the_configuration_as_it_is(folder: Path, tmp_path: Path) -> None:
    text = SMALL.replace("lr = 0.5", "lr = 2e-3")
    (tmp_path / "kit.toml").write_text(text)
    (tmp_path / "small.npz").write_bytes((folder / "small.npz").read_bytes())
    heard: list[Event] = []
    project = Project(tmp_path, emit=heard.append)
    report = project.sweep("a", ["no-dihedral", "one-view"], fold=0, seeds=1).clean
    assert [line.recipe for line in report.recipes] == ["a", "a~no-dihedral", "a~one-view"]
    assert (tmp_path / "kit.toml").read_text() == text
    assert sorted(path.name[:-9] for path in tmp_path.glob("runs/a*")) == ["a", "a~no-dihedral"]
    heard.clear()
    again = project.sweep("a", ["no-dihedral", "one-view"], fold=0, seeds=1).clean
    assert again == report
    assert "train" in [event.data["stage"] for event in heard if event.kind == "fresh"]
