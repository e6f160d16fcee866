"""What later stages see of the cleaned data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from competitions import kaggle_competition, picture

from kit.base.events import silent
from kit.config import parse
from kit.errors import DataError, StageError
from kit.runs.spec import plan_runs
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds
from kit.stages.train.fold import load_fold_data
from kit.store.data import load_images, load_index
from kit.store.layout import Layout

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


@pytest.mark.stage
def test_external_rows_are_in_no_fold_and_the_folds_are_a_partition_of_the_others(project):
    layout, config = project
    index = load_index(layout)
    assert len(index.ids) == 36 and len(index.extra.ids) == 3
    folds = [load_fold_data(spec) for spec in plan_runs(layout, config, ["plain"])["plain"]]
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.valid_rows for fold in folds])), np.arange(36))


@pytest.mark.stage
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


@pytest.mark.stage
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


@pytest.mark.stage
def test_an_image_that_was_changed_behind_the_back_is_never_read(project):
    layout, _ = project
    content = bytearray(layout.images.read_bytes())
    content[-1] ^= 1
    layout.images.write_bytes(bytes(content))
    load_index(layout)  # whose own file is as it was
    with pytest.raises(StageError, match=r"images\.npy was changed after the kit wrote it"):
        load_images(layout)


@pytest.mark.stage
def test_an_index_with_a_row_less_is_found(project):
    layout, _ = project
    layout.index.write_text("".join(layout.index.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StageError, match=r"index\.csv was changed after the kit wrote it") as caught:
        load_index(layout)
    assert caught.value.hint == "kit clean --force"


@pytest.mark.stage
def test_rows_of_ids_are_in_their_order_and_a_stranger_is_named(project):
    index = load_index(project[0])
    assert index.rows_of(np.array(index.ids)[[5, 0, 30]]).tolist() == [5, 0, 30]
    assert index.rows_of([]).tolist() == []
    with pytest.raises(DataError, match=f"id '{index.extra.ids[0]}' is not in the cleaned data"):
        index.rows_of([index.ids[0], index.extra.ids[0]])


def test_without_data_the_command_that_makes_them_is_named(tmp_path):
    with pytest.raises(StageError, match="is missing") as caught:
        load_index(Layout(tmp_path))
    assert caught.value.hint == "kit clean"


PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 3
RAW = {"images": PIXELS, "labels": LABELS, "groups": np.arange(40) // 2, "weights": np.ones(40)}
CHANGES = {
    "classes": ({"classes": ["a", "b", "other"]}, {"classes"}),
    "labels": ({"labels": np.where(np.arange(40) == 7, 2, LABELS)}, {"labels"}),
    "images": ({"images": np.where(np.arange(40)[:, None, None, None] == 7, 255 - PIXELS, PIXELS)}, {"images"}),
    "groups": ({"groups": np.arange(40) // 4}, {"groups"}),
    "weights": ({"weights": np.where(np.arange(40) == 7, 2.0, 1.0)}, {"weights"}),
    "order": ({"images": PIXELS[::-1], "labels": LABELS[::-1]}, {"images", "labels"}),
}


def index_of(folder, **changes):
    folder.mkdir()
    raw = {**RAW, **changes}
    (folder / "classes.txt").write_text("\n".join(raw.pop("classes", "abc")) + "\n")
    np.savez(folder / "d.npz", **raw)
    keys = 'train = "d.npz"\nclasses = "classes.txt"\ngroup = "groups"\nweight = "weights"\n'
    layout = Layout(folder)
    clean(layout, parse(f'[data]\n{keys}[clean]\nnear = "off"\nbackground = "keep"\n'), silent)
    return load_index(layout)


@pytest.mark.parametrize("change", CHANGES)
def test_a_part_of_the_data_says_when_it_changed_and_only_then(tmp_path, change):
    changes, moved = CHANGES[change]
    before, after = index_of(tmp_path / "before"), index_of(tmp_path / "after", **changes)
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == moved
    # Without train-only rows the groups reach training through the folds alone.
    assert (before.training == after.training) == (moved <= {"classes", "groups"})
    assert (before.split == after.split) == moved.isdisjoint({"labels", "groups"})


def test_one_class_more_is_another_training(tmp_path):
    index = index_of(tmp_path / "project")
    assert replace(index, classes=(*index.classes, "d")).training != index.training
