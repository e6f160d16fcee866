"""`kit probe`: heads that never saw what they are judged on, weights found by their names, rows that survive a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from kit.base.events import Event
from kit.errors import ConfigError, TrainingError
from kit.judge import ridge
from kit.project import Project
from kit.runs.pretrained import ProbeRecord, by_backbone

pytestmark = [pytest.mark.stage, pytest.mark.filterwarnings("ignore:__array__ implementation")]

N, FEATURES, CLASSES, FOLDS = 60, 8, 3, 3
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> tuple[Any, Any, Any, Any]:
    """Features (2, N, F), one-hot targets (N, C), folds (N,) in which every group is whole, and groups (N,)."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, N // 2, N)
    fold = rng.integers(0, FOLDS, N // 2)[group]
    return rng.normal(size=(2, N, FEATURES)), np.eye(CLASSES)[rng.integers(0, CLASSES, N)], fold, group


@given(seeds, st.sampled_from(ridge.PENALTIES.tolist()), st.sampled_from([N, FEATURES, FEATURES - 3, 2]))
def test_the_head_is_the_one_of_scikit_learn(seed: int, penalty: float, rows: int) -> None:
    x, y = (array[..., :rows, :] for array in drawn(seed)[:2])
    alpha = penalty * float(np.sum((x[0] - x[0].mean(axis=0)) ** 2)) / FEATURES
    other = Ridge(alpha=alpha).fit(x[0], y)
    for found, version in zip(ridge.predictions(x[0], y, x, np.array([penalty]))[0], x, strict=True):
        assert np.allclose(found, other.predict(version), atol=1e-6)


@given(seeds, st.sampled_from([1e-9, 1e-3, 1e6]))
def test_the_scale_of_features_does_not_matter(seed: int, scale: float) -> None:
    x, y, fold, group = drawn(seed)
    assert np.allclose(ridge.out_of_fold(x, y, fold, group), ridge.out_of_fold(scale * x, y, fold, group), atol=1e-6)
    same = ridge.out_of_fold(0 * x, y, fold, group)
    assert np.allclose(same[0, fold == 0], y[fold != 0].mean(axis=0))


@given(seeds, st.integers(0, FOLDS - 1))
def test_predictions_of_a_fold_do_not_depend_on_its_labels(seed: int, held: int) -> None:
    x, y, fold, group = drawn(seed)
    others = y.copy()
    others[fold == held] = np.roll(others[fold == held], 1, axis=1)
    before, after = (ridge.out_of_fold(x, labels, fold, group)[:, fold == held] for labels in (y, others))
    assert np.array_equal(before, after)


@given(seeds)
def test_rows_that_are_never_held_out_are_trained_on_and_not_predicted(seed: int) -> None:
    x, y, fold, group = drawn(seed)
    never = np.where(fold == 0, 0, -1)
    said = ridge.out_of_fold(x, y, never, group)
    assert np.isnan(said[:, never < 0]).all()
    assert np.array_equal(said[:, never == 0], ridge.out_of_fold(x, y, fold, group)[:, fold == 0])


def test_the_penalty_is_chosen_on_groups_that_were_left_out() -> None:
    """Eight copies of each row of noise: split by rows, a copy would tell the label and the smallest penalty win."""
    rng = np.random.default_rng(0)
    group, fold = np.arange(320) // 8, np.arange(320) // 8 % 2
    x, y = rng.normal(size=(1, 40, 60))[:, group], np.eye(2)[rng.integers(0, 2, 40)][group]
    by_group = ridge.out_of_fold(x, y, fold, group)[0]
    by_row = ridge.out_of_fold(x, y, fold, np.arange(320))[0]
    assert np.ptp(by_group, axis=0).max() < 0.5 * np.ptp(by_row, axis=0).max()


def test_one_group_alone_can_be_trained_on() -> None:
    x, y, _, _ = drawn(0)
    said = ridge.out_of_fold(x, y, np.arange(N) % 2, np.arange(N) % 2)
    assert np.isfinite(said).all()


# As `keras.applications` names what it downloads, and as people name files.
FILES = {
    "mobilenet": "mobilenet_1_0_224_tf_no_top.h5",
    "mobilenetv2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    "mobilenetv3-small": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "efficientnet-b0": "efficientnetb0_notop.h5",
    "efficientnetv2-b0": "efficientnetv2-b0_notop.h5",
    "efficientnetv2-s": "efficientnetv2-s_notop.h5",
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50v2": "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "inceptionv3": "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "inceptionresnetv2": "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "xception": "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "convnext-xlarge": "convnext_xlarge_notop.h5",
    "convnext-large": "ConvNeXt-Large.weights.h5",
    "nasnetmobile": "nasnet_mobile_no_top.h5",
    "vgg16": "my vgg16.h5",
}


def test_a_file_is_of_the_backbone_that_it_is_called_after() -> None:
    others = ["resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5", "plain-cnn.h5", "weights.h5"]
    found = by_backbone([Path(name) for name in (*FILES.values(), *others)])
    assert {name: path.name for name, path in found.items()} == FILES


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two networks with weights of no meaning, and of one whose file is of another network."""
    from kit.runtime.backbones import build

    folder = tmp_path_factory.mktemp("weights")
    for name in ("mobilenet", "mobilenetv2"):
        network = build({"backbone": name, "size": 32, "classes": 2, "head": {}})
        network.backbone.save_weights(folder / f"{name}.weights.h5")
    (folder / "vgg16.h5").write_bytes((folder / "mobilenet.weights.h5").read_bytes())
    return folder


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[Project, list[Event]]]:
    """Opens a project of digits, and lists what it says."""
    root = tmp_path_factory.mktemp("project")
    lines = ["[data]", 'train = "digits"', 'truth = "digits"', "image_size = 32", "[folds]", "n = 2"]
    (root / "kit.toml").write_text("\n".join(lines), encoding="utf-8")

    def make() -> tuple[Project, list[Event]]:
        events: list[Event] = []
        return Project(root, emit=events.append), events

    return make


Opened = Callable[[], tuple[Project, list[Event]]]


def computed(events: list[Event]) -> list[str]:
    return [event.text.split()[-1] for event in events if event.kind == "progress" and event.text.startswith("probe: ")]


@pytest.mark.tf
def test_rows_are_ranked_kept_and_computed_once(
    opened: Opened, weights: Path, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    project, events = opened()
    with pytest.raises(KeyboardInterrupt):  # killed when the first row is done
        Project(project.layout.root, emit=stop_at("probe: mobilenetv2")).probe(weights=[weights], rows=200)
    records = project.probe(weights=[weights], rows=200)
    assert computed(events) == ["mobilenetv2", "vgg16"]
    assert records[0].clean[0] + records[0].stressed[0] >= records[1].clean[0] + records[1].stressed[0]
    assert {record.backbone for record in records} == {"mobilenet", "mobilenetv2"}
    for record in records:
        assert record.rows == 200 and record.metric == "accuracy"
        assert 0.2 < record.clean[0] <= 1 and record.stressed[0] <= record.clean[0]
        p = record.clean[0]
        assert record.clean[1] == pytest.approx((p * (1 - p) / 200) ** 0.5)
        assert record.megabytes == pytest.approx({"mobilenet": 12.9, "mobilenetv2": 9.0}[record.backbone], abs=0.1)
        assert ProbeRecord.load(project.layout.probe(record.backbone)) == record
    warned = [event.text for event in events if event.kind == "warn"]
    assert len(warned) == 1 and warned[0].startswith("vgg16.h5 does not fit vgg16") and "--weights FILE" in warned[0]

    project, events = opened()
    assert project.probe(["mobilenet"], [weights], 200) == [one for one in records if one.backbone == "mobilenet"]
    assert computed(events) == []
    project.probe(["mobilenet"], [weights], 150)
    assert computed(events) == ["mobilenet"]


def stop_at(text: str) -> Callable[[Event], None]:
    def emit(event: Event) -> None:
        if event.text == text:
            raise KeyboardInterrupt

    return emit


@pytest.mark.tf
def test_a_mistake_is_one_error_with_a_hint(opened: Opened, weights: Path, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    project, events = opened()
    with pytest.raises(ConfigError, match="no such file or folder"):
        project.probe(weights=[tmp_path / "no"])
    with pytest.raises(ConfigError, match="no backbone is called mobilnet"):
        project.probe(["mobilnet"])
    with pytest.raises(ConfigError, match="at least 71 px"):
        project.probe(["xception"])
    with pytest.raises(ConfigError, match="no weights are here"):
        project.probe()
    with pytest.raises(TrainingError, match="does not fit vgg16") as error:
        project.probe(["vgg16"], [weights])
    assert error.value.hint == "--weights FILE, of vgg16 without its top"
    assert not [event for event in events if event.kind == "warn"]


@pytest.mark.tf
def test_a_damaged_row_is_computed_again(opened: Opened, weights: Path, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    project, events = opened()
    (before,) = project.probe(["mobilenet"], [weights], 150)
    path = project.layout.probe("mobilenet")
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "rows": 9}), encoding="utf-8")
    events.clear()
    (after,) = project.probe(["mobilenet"], [weights], 150)
    assert computed(events) == ["mobilenet"] and (after.clean, after.stressed) == (before.clean, before.stressed)
