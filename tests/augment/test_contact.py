"""The sheet of augmented images shows different classes and says what a mix is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.errors import ConfigError
from kit.project import Project
from kit.stages.augment import caption, varied_rows


@pytest.mark.parametrize("seed", range(5))
def test_the_first_rows_are_of_different_classes_and_none_comes_twice(seed: int) -> None:
    labels = np.repeat(np.arange(4), [50, 30, 3, 1])
    rows = varied_rows(labels, 12, seed)
    assert set(labels[rows[:4]]) == {0, 1, 2, 3}
    assert len(set(rows)) == 12


def test_a_caption_names_the_parts_of_a_mix() -> None:
    assert caption(np.array([0.02, 0.98]), ("a", "b")) == "b"
    assert caption(np.array([0.3, 0.7]), ("a", "b")) == "b 0.70\na 0.30"


@pytest.mark.tf
def test_a_sheet_is_drawn_beside_the_runs(make_project: Callable[..., Path]) -> None:
    folder = make_project(
        '[data]\ntrain = "digits"\nimage_size = 16\n[runs.a]\nbackbone = "plain-cnn"\n'
        'augment = [{ op = "dihedral" }, { op = "noise" }]\n'
    )
    path = Project(folder).augment("a")
    with Image.open(path) as picture:
        assert picture.width > picture.height > 500
    with pytest.raises(ConfigError, match="no run 'b'"):
        Project(folder).augment("b")
