"""What later stages see of the cleaned data."""

from __future__ import annotations

import numpy as np
import pytest
from competitions import kaggle_competition, picture

from kit.clean.stage import clean
from kit.config import parse
from kit.data import load_index
from kit.errors import StageError
from kit.folds import make_folds
from kit.layout import Layout
from kit.records import silent
from kit.runs import plan_runs
from kit.train.fold import load_fold_data

TEXT = """
[data]
train = "raw/train.csv"
group = "patient"
external = "more.csv"
images = "raw/train"
[clean]
exact = "keep"
[folds]
n = 3
[runs.plain]
backbone = "plain-cnn"
[runs.stopped]
extends = "plain"
stages = [{ train = "all", epochs = 2, early_stopping = 1 }]
"""


@pytest.fixture
def project(tmp_path):
    """36 images of 12 patients, and three external ones, one of a patient of the training set."""
    kaggle_competition(tmp_path)
    (tmp_path / "more").mkdir()
    lines = ["image_id,patient,label"]
    for row, patient in enumerate(("p5", "stranger", "")):
        picture("dog", 700 + row).save(tmp_path / f"more/{row}.png")
        lines.append(f"{row},{patient},dog")
    (tmp_path / "more.csv").write_text("\n".join(lines) + "\n")
    layout, config = Layout(tmp_path), parse(TEXT)
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    return layout, config


def test_external_rows_are_in_no_fold_and_the_folds_are_a_partition_of_the_others(project):
    layout, config = project
    index = load_index(layout)
    assert len(index.ids) == 36 and len(index.extra.ids) == 3
    folds = [load_fold_data(spec) for spec in plan_runs(layout, config, ["plain"])["plain"]]
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.valid_rows for fold in folds])), np.arange(36))


def test_external_rows_are_trained_on_in_every_fold_but_that_of_their_patient(project):
    layout, config = project
    index = load_index(layout)
    at_home = []
    for spec in plan_runs(layout, config, ["plain"])["plain"]:
        data = load_fold_data(spec)
        np.testing.assert_array_equal(np.sort(np.r_[data.train_rows, data.valid_rows])[:36], np.arange(36))
        at_home.append(index.extra.groups[0] in {index.groups[row] for row in data.valid_rows})
        assert data.train_rows[data.train_rows >= 36].tolist() == ([37, 38] if at_home[-1] else [36, 37, 38])
    assert sum(at_home) == 1


def test_patients_of_rows_that_early_stopping_watches_are_not_trained_on(project):
    layout, config = project
    index = load_index(layout)
    groups = np.array([*index.groups, *index.extra.groups])
    watched = set()
    for seed in range(20):
        stages = config.runs["stopped"].model_copy(update={"seed": seed})
        specs = plan_runs(layout, config.model_copy(update={"runs": {"stopped": stages}}), [])["stopped"]
        for data in map(load_fold_data, specs):
            parts = [set(groups[rows]) for rows in (data.train_rows, data.inner_rows, data.valid_rows)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == len(set(groups))
            assert all(parts) and data.inner_rows.max() < 36
            watched |= parts[1]
    assert index.extra.groups[0] in watched


def test_an_image_that_was_changed_behind_the_back_is_found_when_asked(project):
    layout, _ = project
    content = bytearray(layout.images.read_bytes())
    content[-1] ^= 1
    layout.images.write_bytes(bytes(content))
    load_index(layout)
    with pytest.raises(StageError, match=r"images\.npy is not what"):
        load_index(layout, verify=True)


def test_an_index_with_a_row_less_is_found(project):
    layout, _ = project
    layout.index.write_text("".join(layout.index.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StageError, match="has 38 rows, its manifest says 39"):
        load_index(layout)
