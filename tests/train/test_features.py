"""Features of a frozen backbone are read only while it is the published one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import spec_of

from kit.base.events import silent
from kit.config import parse
from kit.errors import StageError
from kit.stages.clean.clean import clean
from kit.stages.train.features import (
    FeatureRecord,
    feature_files,
    feature_lineage,
    features_complete,
    open_features,
    views_of,
)
from kit.store.layout import Layout
from kit.store.record import digests_of

HEAD, TWICE, UNCACHED = ({"train": "head", "epochs": 1, "cached_views": views} for views in (1, 2, 0))
BLOCK = {"train": "last-block", "epochs": 1}
FROZEN = {"backbone": "mobilenetv2", "weights": "w.h5"}


@pytest.mark.parametrize(
    ("stages", "views"),
    [
        ([HEAD], [1]),
        ([HEAD, TWICE], [1, 2]),
        ([UNCACHED, TWICE], [0, 2]),
        ([TWICE, BLOCK, TWICE], [2, 0, 0]),
        ([BLOCK, HEAD], [0, 0]),
    ],
)
def test_stages_of_the_head_are_cached_until_another_trains_the_backbone(
    stages: Any, views: list[int], folder: Path
) -> None:
    spec = spec_of({**FROZEN, "stages": stages}, root=str(folder))
    assert views_of(spec) == views
    assert [len(feature_files(spec, number)) for number in range(len(stages))] == views


def test_runs_that_differ_in_head_and_fold_alone_share_their_features(folder: Path) -> None:
    def files(fold: int = 0, weights: str = "w", **keys: Any) -> Any:
        spec = spec_of({**FROZEN, "stages": [TWICE], **keys}, root=str(folder), fold=fold, weights=weights)
        return [path.relative_to(folder) for path in feature_files(spec, 0)]

    found = files()
    assert found == files(fold=3) == files(head={"units": [8]}) == files(precision="mixed_float16")
    others = [files(augment=[{"op": "flip"}]), files(backbone="mobilenet"), files(weights="other")]
    assert all(one != found for one in others)
    with np.load(folder / "d.npz") as file:
        raw = dict(file)
    write_data(folder, raw["images"], 1 - raw["labels"])
    assert files() == found
    write_data(folder, 255 - raw["images"], raw["labels"])
    assert files() != found


def test_features_that_were_damaged_are_made_again_and_never_read(folder: Path) -> None:
    spec = spec_of({**FROZEN, "stages": [HEAD]}, root=str(folder))
    (path,) = feature_files(spec, 0)
    path.parent.mkdir(parents=True)
    np.save(path, np.zeros((20, 4), np.float32))
    assert not features_complete(spec)
    record = FeatureRecord(made_from=feature_lineage(spec), files=digests_of(path.parent, path))
    record.save(path.with_suffix(".json"))
    assert features_complete(spec) and open_features(path).shape == (20, 4)
    np.save(path, np.ones((20, 4), np.float32))
    assert not features_complete(spec)
    with pytest.raises(StageError, match=r"clean\.npy was changed after the kit wrote it"):
        open_features(path)


def write_data(folder: Path, images: Any, labels: Any) -> None:
    np.savez(folder / "d.npz", images=images, labels=labels)
    clean(Layout(folder), parse('[data]\ntrain = "d.npz"\n'), silent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_data(tmp_path, rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8), np.arange(20) % 2)
    return tmp_path
