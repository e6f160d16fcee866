"""Features of a frozen backbone are read only while it is the published one."""

from __future__ import annotations

from typing import Any

import pytest

from kit.config import RunConfig
from kit.runs import FoldSpec
from kit.train.features import feature_files, views_of

HEAD, TWICE, UNCACHED = ({"train": "head", "epochs": 1, "cached_views": views} for views in (1, 2, 0))
BLOCK = {"train": "last-block", "epochs": 1}


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
def test_stages_of_the_head_are_cached_until_another_trains_the_backbone(stages: Any, views: list[int]) -> None:
    config = {"backbone": "mobilenetv2", "weights": "w.h5", "stages": stages}
    assert views_of(RunConfig.model_validate(config)) == views
    spec = FoldSpec("", "a", "k", 0, "folds", config, ("x", "y"), 96, "d", "w")
    assert [len(feature_files(spec, number)) for number in range(len(stages))] == views


def test_runs_that_differ_in_head_and_fold_alone_share_their_features() -> None:
    def files(fold: int = 0, **keys: Any) -> Any:
        config = {"backbone": "mobilenetv2", "weights": "w.h5", "stages": [TWICE], **keys}
        return feature_files(FoldSpec("", "a", "k", fold, "folds", config, ("x", "y"), 96, "d", "w"), 0)

    assert files() == files(fold=3) == files(head={"units": [8]}) == files(precision="mixed_float16")
    assert files() != files(augment=[{"op": "flip"}])
    assert files() != files(backbone="mobilenet")
