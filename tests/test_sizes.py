"""The input size of a network is a key of its run: training, predictions, engines and bundles all follow it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_this_process
from recorded import spec_of
from test_train import ended_at, run_folder, write_data

from kit.base.events import Event
from kit.config import RunConfig, load
from kit.errors import ConfigError
from kit.project import Project
from kit.runs.checks import check_sizes
from kit.runs.pretrained import make_network
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.sweep import variants
from kit.runtime.backbones import BACKBONES, build
from kit.runtime.predictor import Predictor
from kit.stages.train.checkpoint import Interrupted
from kit.stages.train.features import feature_files, views_of
from kit.store.files import read_csv, read_log
from kit.store.predictions import load_predictions

pytestmark = [pytest.mark.stage, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

ALL = {"train": "all", "epochs": 1}
HEAD = {"train": "head", "epochs": 1}


def run(*sizes: int, size: int = 0, **keys: Any) -> RunConfig:
    """A run whose stages and which itself name sizes; 0 names none."""
    stages = [{**ALL, **({"size": one} if one else {})} for one in sizes]
    named = {"size": size} if size else {}
    return RunConfig.model_validate({"backbone": "plain-cnn", "stages": stages, **named, **keys})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (run(0), (96, 96)),
        (run(0, size=64), (64, 64)),
        (run(64, 0), (64, 96, 96)),
        (run(64, 80), (64, 80, 80)),
        (run(0, 80), (80, 80, 80)),
        (run(64, 0, size=128), (64, 128, 128)),
        (run(64, size=80), (64, 80)),
    ],
)
def test_a_stage_has_its_own_size_or_that_of_the_run_or_of_the_last_stage_or_the_stored_one(
    settings: RunConfig, expected: tuple[int, ...]
) -> None:
    assert settings.sizes(96) == expected


def test_a_run_without_sizes_is_described_and_digested_as_before_there_were_any() -> None:
    text = run(0, 0).model_dump_json()
    assert '"size"' not in text
    assert RunConfig.model_validate_json(text) == run(0, 0)
    spec = spec_of(run(0, 0).model_dump())
    assert "preprocess" not in spec.network and spec.network["size"] == 32
    for other in (run(0, 0, size=32), run(0, 32), run(32, 0)):  # named, though it changes nothing
        assert '"size":32' in other.model_dump_json()
        assert spec_of(other.model_dump()).network == spec.network
    resized = spec_of(run(0, size=48, preprocess=[{"op": "clahe"}]).model_dump()).network
    assert resized["preprocess"] == [{"op": "clahe"}, {"op": "resize", "size": 48}]
    assert resized["size"] == 32, "what the bundle is given"


@pytest.mark.parametrize(
    ("settings", "said", "hint"),
    [
        (run(16, 32, backbone="feed-forward"), "feed-forward has other weights at another size", "size = 32"),
        (
            run(16, 32, head={"pooling": "flatten"}),
            "plain-cnn with a flattened map .*16 and 32 px",
            "no `size` in its",
        ),
        (
            run(0, size=64, preprocess=[{"op": "resize"}]),
            "has a `size`, and `resize` in `preprocess`",
            "remove `resize`",
        ),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused_before_anything_is_trained(
    settings: RunConfig, said: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        check_sizes("a", settings, 32)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("settings", "stored", "hint", "mended"),
    [
        (run(0), 8, "[data] image_size = 16", None),
        (run(0, size=8), 32, "[runs.a] size = 16", run(0, size=16)),
        (run(8, size=20), 32, "[runs.a] stages: size = 16", run(16, size=20)),
        (run(8, 32), 32, "[runs.a] stages: size = 16", run(16, 32)),
        (
            run(0, preprocess=[{"op": "resize", "size": 8}]),
            32,
            "[runs.a] preprocess: resize size = 16",
            run(0, preprocess=[{"op": "resize", "size": 16}]),
        ),
    ],
)
def test_the_hint_for_a_network_that_sees_too_little_names_the_key_that_says_so(
    settings: RunConfig, stored: int, hint: str, mended: RunConfig | None
) -> None:
    with pytest.raises(ConfigError, match="plain-cnn needs images of at least 16 px, but these have 8") as caught:
        check_sizes("a", settings, stored)
    assert caught.value.hint == hint
    check_sizes("a", mended or settings, stored if mended else 16)


@pytest.mark.parametrize("fixed", [{"backbone": "feed-forward"}, {"head": {"pooling": "flatten"}}])
def test_a_network_whose_weights_depend_on_the_size_may_have_any_one_size(fixed: dict[str, Any]) -> None:
    check_sizes("a", run(0, 0, size=48, **fixed), 32)
    check_sizes("a", run(48, 48, **fixed), 32)


def test_a_sweep_trains_all_stages_at_the_size_that_is_predicted() -> None:
    changed = variants(run(64, 0, size=96))["one-size"]
    assert changed.sizes(32) == (96, 96, 96)
    assert "one-size" not in variants(run(0, 0, size=96))


def test_stages_of_the_head_are_cached_at_the_size_of_the_first_one(tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "small.npz"\n')
    Project(tmp_path).clean()

    def spec(*sizes: int, size: int = 0) -> FoldSpec:
        stages = [{**HEAD, **({"size": one} if one else {})} for one in sizes]
        frozen = run(0, size=size, weights="w.h5").model_dump() | {"stages": stages}
        return spec_of(frozen, root=str(tmp_path))

    assert views_of(spec(0, 0)) == views_of(spec(0, 0, size=64)) == [1, 1]
    assert views_of(spec(48, 0, size=64)) == [1, 0]
    files = [feature_files(one, 0)[0].parent for one in (spec(0), spec(0, size=32), spec(64), spec(0, size=64))]
    assert files[0] == files[1] != files[2] == files[3]


@pytest.mark.tf
@pytest.mark.parametrize(
    "backbone", [name for name, entry in BACKBONES.items() if entry.width and not entry.pretrained]
)
def test_the_weights_of_a_network_do_not_depend_on_its_size(backbone: str) -> None:
    described = {"backbone": backbone, "classes": 3, "head": {"units": [4]}}
    small, large = ([w.shape for w in build({**described, "size": n}).model.weights] for n in (32, 55))  # type: ignore[typeddict-item]
    assert small == large


PROJECT = """
[data]
train = "small.npz"
[folds]
n = 3
method = "hold-out"
[runs.a]
backbone = "two-conv-cnn"
augment = [{ op = "random-resized-crop" }]
batch_size = 16
views = ["identity", "crop-top-left", "smaller"]
stages = [
  { train = "all", epochs = 1, size = 24, ema = 0.5 },
  { train = "last-block", epochs = 2, size = 20, optimizer = "lion" },
]
"""


@pytest.mark.tf
def test_a_run_of_growing_size_goes_on_inside_a_stage_and_the_bundle_predicts_what_it_did(tmp_path: Path) -> None:
    heard: list[Event] = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kit.toml").write_text(PROJECT)
        write_data(tmp_path / name)
    whole, stopped = (Project(tmp_path / name, emit=heard.append) for name in ("whole", "stopped"))
    with in_this_process():
        whole.train()
    said = [event.text for event in heard if event.kind == "say"]
    assert said[0] == "run `a` sees 24 px, but images are stored with 16: they are enlarged, which adds no detail"
    with in_this_process(ended_at(1, 0, 1)), pytest.raises(Interrupted) as ended:
        stopped.train()
    assert ended.value.code == 128 + signal.SIGTERM
    with in_this_process():
        stopped.train()
    for name in ("oof.npz", "fold-0/weights.npz", "fold-0/history.csv"):
        first, second = (run_folder(project.layout.root) / name for project in (whole, stopped))
        assert first.read_bytes() == second.read_bytes(), name
    # The zip has the stored images and resizes them by itself.
    (spec,) = plan_runs(whole.layout, load(whole.layout.config), ["a"])["a"]
    views = list(spec.settings.views)
    part = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0], "bias": [0.0, 0.0]}
    described = {
        "classes": ["0", "1"],
        "size": 16,
        "views": views,
        "members": [{"name": "a", "network": spec.network, "weights": ["weights.npz"]}],
        "blend": {"views": [1 / 3] * 3, "parts": [part], "bias": []},
        "batch_size": 7,
    }
    (spec.paths.root / "bundle.json").write_text(json.dumps(described))
    found, index = load_predictions(spec.paths.valid), {name: row for row, name in enumerate(_ids(whole))}
    images = np.load(tmp_path / "whole" / "small.npz")["images"][[index[name] for name in found.ids]]
    (logits,) = Predictor(str(spec.paths.root)).logits(images)
    np.testing.assert_allclose(logits, found.logits, atol=1e-4)
    assert np.abs(found.logits[0] - found.logits[1]).max() > 1e-3, "a crop is another picture"


def _ids(project: Project) -> list[str]:
    return [line["id"] for line in read_csv(project.layout.index)]


@pytest.mark.tf
def test_a_stage_is_judged_and_timed_at_its_own_size_and_a_twin_in_half_precision_follows(tmp_path: Path) -> None:
    from kit.stages.train.fold import load_fold_data
    from kit.stages.train.plan import measure
    from kit.stages.train.trainer import NetworkTrainer

    stages = PROJECT.replace("[runs.a]", '[runs.a]\nprecision = "mixed_bfloat16"')
    (tmp_path / "kit.toml").write_text(stages)
    write_data(tmp_path)
    Project(tmp_path).folds()
    (spec,) = plan_runs(Project(tmp_path).layout, load(tmp_path / "kit.toml"), ["a"])["a"]
    trainer, data = NetworkTrainer(spec, load_fold_data(spec)), load_fold_data(spec)
    images = np.load(tmp_path / "small.npz")["images"]
    for number, size in enumerate((24, 20)):
        stage, rows = trainer.stage(number), data.valid_rows
        kept = stage.learner.kept()
        filled = make_network(spec, size).model
        for variable, array in zip(filled.weights, kept.values(), strict=True):
            variable.assign(array)
        np.testing.assert_allclose(stage.learner.judge(rows), filled(images[rows].astype(np.float32)), atol=1e-4)
        stage.learner.step(images[:16].astype(np.float32), np.tile(np.float32([1, 0]), (16, 1)), 1e-2)
        assert any((kept[name] != after).any() for name, after in stage.learner.kept().items())
        stage.learner.keep(None)
    at_the_end = trainer.predict(images, data.valid_rows, ("identity",))[0]
    np.testing.assert_array_equal(at_the_end, stage.learner.judge(data.valid_rows))
    spec.run_paths.root.mkdir(parents=True)
    measure(spec, NetworkTrainer, lambda line: None)
    (line,) = read_log(spec.run_paths.log)
    assert set(line["stages"]) == {"0", "1"}
    assert all(seconds["judge"] > 0 for seconds in line["stages"].values())
