"""The notebook of a code competition, run offline on a tree like Kaggle's: training's pixels, `kit table`'s cells."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import compress
from pathlib import Path

import numpy as np
import pytest
from competitions import picture

from kit.config import Config, parse
from kit.images.sources import open_source
from kit.platforms.kaggle_code import script
from kit.runtime.answer import fill
from kit.stages.bundle.contents import runtime_files
from kit.store.tables import read_table

pytestmark = pytest.mark.stage

TAG = "kit-20261121T054000Z-3f9c2ab1"
# Says of every image how bright it is, and keeps what it has seen.
MODEL = """
from pathlib import Path
import numpy as np

class Model:
    def predict_proba(self, x):
        np.save(Path(__file__).with_name("seen.npy"), x)
        bright = x.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)
"""
NAMES = ["c", "a", "d", "b"]
DESCRIPTION = {"size": 32, "classes": ["x", "y"], "resize": "crop", "blend": {}}


def config_of(metric: str = "accuracy", more: str = "", task: str = "multiclass") -> Config:
    text = f'[competition]\nplatform = "kaggle"\nid = "cells"\ncode = true\nmetric = "{metric}"\ntask = "{task}"\n'
    return parse(text + f'[data]\ntrain = "unused"\nsample_submission = "raw/sample.csv"\n{more}')


def add_test_images(folder: Path) -> None:
    folder.mkdir(parents=True)
    picture("cat", 1, size=40).crop((0, 0, 40, 30)).save(folder / "a.png")
    picture("dog", 2, size=64).save(folder / "b.tif")
    picture("hen", 3, size=24).convert("L").save(folder / "c.jpg")
    (folder / "d.png").write_bytes(b"")


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "kaggle")


def make_tree(root: Path) -> Path:
    """What is under /kaggle: a competition, and the data set with an unpacked bundle."""
    bundle = root / "input/kit-cells/bundle"
    (bundle / "kit_runtime").mkdir(parents=True)
    (bundle / "model.py").write_text(MODEL)
    for path in runtime_files():
        shutil.copy(path, bundle / "kit_runtime")
    (bundle / "bundle.json").write_text(json.dumps(DESCRIPTION))
    (bundle.parent / "tag.txt").write_text(f"{TAG}\n")
    add_test_images(root / "input/cells/test")
    (root / "input/cells/train").mkdir()
    picture("cat", 9).save(root / "input/cells/train/a.png")
    (root / "input/cells/sample.csv").write_text("id,label\n" + "".join(f"{name},x\n" for name in NAMES))
    return root


def run(root: Path, config: Config) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", script(config, "kit-cells", TAG)],
        env={"PATH": os.environ["PATH"], "KIT_KAGGLE": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def written(root: Path) -> list[list[str]]:
    with (root / "working/submission.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_notebook_reads_images_as_training_did(kaggle: Path, tmp_path: Path) -> None:
    done = run(kaggle, config_of())
    assert done.returncode == 0, done.stderr
    assert "4 rows" in done.stdout
    test = kaggle / "input/cells/test"
    data = parse(f'[data]\ntrain = "unused"\ntest = "{test}"\nimage_size = 32\nresize = "crop"').data
    expected = open_source(data, tmp_path, "test").read(0, 4)[0]  # a, b, c, d
    np.testing.assert_array_equal(np.load(kaggle / "input/kit-cells/bundle/seen.npy"), expected[[2, 0, 3, 1]])
    assert [row[0] for row in written(kaggle)] == ["id", *NAMES]


@pytest.mark.parametrize("metric", ["accuracy", "auc", "nll"])
@pytest.mark.parametrize(
    "sample", ["id,label\n{},x\n", "id,label\n{},0\n", "id,target\n{},0.5\n", "image,y,X\n{},0.5,0.5\n"]
)
def test_the_cells_are_those_that_the_table_of_the_same_numbers_has(kaggle: Path, sample: str, metric: str) -> None:
    header, line, _ = sample.split("\n")
    path = kaggle / "input/cells/sample.csv"
    path.write_text("\n".join([header, *(line.format(name) for name in NAMES), ""]))
    done = run(kaggle, config_of(metric))
    assert done.returncode == 0, done.stderr
    bright = np.load(kaggle / "input/kit-cells/bundle/seen.npy").mean(axis=(1, 2, 3)) / 255
    table, of_proba = read_table(path), "" if metric == "accuracy" else metric
    cells = fill(table.header, table.rows, NAMES, np.stack([1 - bright, bright], axis=1), DESCRIPTION, of_proba)
    assert written(kaggle) == [header.split(","), *([name, *row] for name, row in zip(NAMES, cells, strict=True))]


SEVERAL = {
    "task": "multilabel",
    "blend": {"several": True},
    "decision": {"kind": "thresholds", "thresholds": [0.4, 0.45]},
}
NUMBERS = {"task": "regression", "classes": ["0", "10"], "decision": {"kind": "mean", "values": [0.0, 10.0]}}


def labels(no: float, yes: float) -> list[int]:
    return [int(no > 0.4), int(yes > 0.45)]


@pytest.mark.parametrize(
    ("task", "metric", "sample", "line"),
    [
        (SEVERAL, "macro_f1", "id,y,x\n{0},0,0\n", lambda *said: [labels(*said)[::-1]]),
        (SEVERAL, "auc", "id,y,x\n{0},.5,.5\n", lambda no, yes: [[yes, no]]),
        (SEVERAL, "macro_f1", "id,label\n{0},x y\n", lambda *said: [[" ".join(compress("xy", labels(*said)))]]),
        (SEVERAL, "macro_f1", "id,label\n{0}_x,0\n{0}_y,0\n", lambda *said: [[one] for one in labels(*said)]),
        (SEVERAL, "auc", "id,kind,p\n{0},x,.5\n{0},y,.5\n", lambda no, yes: [["x", no], ["y", yes]]),
        (NUMBERS, "rmse", "id,age\n{0},3\n", lambda no, yes: [[10 * yes / (no + yes)]]),
        ({}, "accuracy", "label,image_id\nx,{0}\n", lambda no, yes: [["x" if no > yes else "y"]]),
    ],
)  # fmt: skip
def test_labels_numbers_and_ids_stand_where_the_sample_has_them(
    kaggle: Path, task: dict[str, object], metric: str, sample: str, line: Callable[[float, float], list[list[object]]]
) -> None:
    header, *lines = sample.splitlines()
    asked = [one.format(name) for name in NAMES for one in lines]
    (kaggle / "input/cells/sample.csv").write_text("\n".join([header, *asked, ""]))
    (kaggle / "input/kit-cells/bundle/bundle.json").write_text(json.dumps({**DESCRIPTION, **task}))
    done = run(kaggle, config_of(metric, task=str(task.get("task", "multiclass"))))
    assert done.returncode == 0, done.stderr
    test = kaggle / "input/cells/test"
    bright = np.load(kaggle / "input/kit-cells/bundle/seen.npy").mean(axis=(1, 2, 3)) / 255
    ids = [path.stem for path in sorted(test.iterdir())] if task == SEVERAL else NAMES
    at = dict(zip(ids, bright.tolist(), strict=True))
    known = [cells for name in NAMES for cells in line(1 - at[name], at[name])]
    place = header.split(",").index("image_id") if "image_id" in header else 0
    found = [[cell for at, cell in enumerate(row) if at != place] for row in written(kaggle)[1:]]
    assert [row[place] for row in written(kaggle)[1:]] == [one.split(",")[place] for one in asked]
    assert written(kaggle)[0] == header.split(",")
    for row, expected in zip(found, known, strict=True):
        assert [type(one)(cell) for cell, one in zip(row, expected, strict=True)] == pytest.approx(expected)


def drop(path: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        where = root / "input" / path
        shutil.rmtree(where) if where.is_dir() else where.unlink()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("kit-cells"), "the data set kit-cells is not attached, or is empty: {} holds cells"),
        (drop("cells"), "the competition cells is not attached, or is empty: {} holds kit-cells"),
        (drop("kit-cells/bundle/model.py"), "has no bundle: no model.py in it"),
        (drop("kit-cells/tag.txt"), f"the data set is of no submission, this notebook of {TAG}"),
        (lambda root: (root / "input/kit-cells/tag.txt").write_text("kit-older"), "the data set is of kit-older"),
        (drop("cells/sample.csv"), "has no sample.csv (data.sample_submission names it); tables there: none"),
        (lambda root: (root / "input/cells/sample.csv").write_text("id,label\n"), "sample.csv has no rows"),
        (lambda root: (root / "input/cells/sample.csv").write_text("id\na\n"), "has only one column, 'id'"),
        (lambda root: (root / "input/cells/sample.csv").write_text("id,x,z\na,0,1\n"), "'z' is no class"),
        (drop("cells/test"), "has no test images: 1 image files in all, every one in a path with `train`"),
        (drop("cells/test/b.tif"), "1 of 4 ids have no test image, the first is 'b'"),
    ],
)
def test_what_is_missing_is_named_on_the_last_line(
    kaggle: Path, change: Callable[[Path], object], message: str
) -> None:
    change(kaggle)
    done = run(kaggle, config_of())
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kit: ") and message.format(kaggle / "input") in last, done.stderr
    assert "Traceback" not in done.stderr
    assert not (kaggle / "working/submission.csv").exists()


def test_folders_that_lie_deeper_and_a_zip_that_is_not_unpacked_are_found(kaggle: Path) -> None:
    data = kaggle / "input/kit-cells"
    with zipfile.ZipFile(data / "bundle.zip", "w") as archive:
        for path in (data / "bundle").rglob("*"):
            archive.write(path, path.relative_to(data / "bundle"))
    shutil.rmtree(data / "bundle")
    (kaggle / "input/datasets/student").mkdir(parents=True)
    data.rename(kaggle / "input/datasets/student/kit-cells")
    (kaggle / "input/competitions").mkdir()
    (kaggle / "input/cells").rename(kaggle / "input/competitions/cells")
    done = run(kaggle, config_of())
    assert done.returncode == 0, done.stderr
    assert len(written(kaggle)) == 5


@pytest.mark.tf
def test_a_real_bundle_predicts_in_the_notebook_as_elsewhere(tmp_path: Path) -> None:
    from test_compat import make_bundle

    from kit.runtime.predictor import Predictor

    bundle, size = make_bundle(tmp_path, "plain-cnn")
    data, test = tmp_path / "kaggle/input/kit-cells", tmp_path / "kaggle/input/cells/test"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(data / "bundle")
    described = json.loads((data / "bundle/bundle.json").read_text())
    (data / "bundle/bundle.json").write_text(json.dumps({**described, "resize": "fit"}))
    (data / "tag.txt").write_text(TAG)
    add_test_images(test)
    (test.parent / "sample.csv").write_text("id,a,b,c\n" + "".join(f"{name},0.3,0.3,0.4\n" for name in NAMES))
    done = run(tmp_path / "kaggle", config_of("nll"))
    assert done.returncode == 0, done.stderr
    source = parse(f'[data]\ntrain = "unused"\ntest = "{test}"\nimage_size = {size}').data
    images = open_source(source, tmp_path, "test").read(0, 4)[0][[2, 0, 3, 1]]
    found = np.array([row[1:] for row in written(tmp_path / "kaggle")[1:]], float)
    np.testing.assert_allclose(found, Predictor(str(data / "bundle")).predict_proba(images), atol=1e-6)
