"""What a person decides: bringing images back, weighing proposed label errors."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded import write_candidate

from kit.base.events import silent
from kit.config import parse
from kit.errors import DataError, StageError
from kit.images.sources.practice import make
from kit.project import Project
from kit.stages.clean.clean import clean
from kit.stages.clean.review import override, propose_labels, restore
from kit.store.data import load_images, load_index
from kit.store.files import read_csv
from kit.store.layout import Layout
from kit.store.predictions import Predictions

pytestmark = pytest.mark.stage


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make(n=300, size=32, seed=3)
    np.savez(tmp_path / "train.npz", images=made.images, labels=made.labels)
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "train.npz"\n', encoding="utf-8")
    project = Project(tmp_path)
    project.clean()
    return project


def raw_of(project: Project) -> np.ndarray:
    with np.load(project.layout.root / "train.npz") as file:
        return file["images"]


@pytest.mark.matrix
def test_kept_and_dropped_are_the_raw_images_and_the_raw_file_is_untouched(project: Project) -> None:
    before = hashlib.sha256((project.layout.root / "train.npz").read_bytes()).hexdigest()
    index = load_index(project.layout)
    dropped = [line["id"] for line in read_csv(project.layout.dropped)]
    assert not set(index.ids) & set(dropped)
    assert len(index.ids) + len(dropped) == 300
    assert dropped
    raw, kept = raw_of(project), load_images(project.layout)
    assert all((kept[row] == raw[int(name)]).all() for row, name in enumerate(index.ids))
    project.clean(force=True)
    assert hashlib.sha256((project.layout.root / "train.npz").read_bytes()).hexdigest() == before


@pytest.mark.matrix
def test_all_that_was_dropped_comes_back_with_the_same_bytes(project: Project) -> None:
    project.restore(["all"])
    assert load_index(project.layout).ids == tuple(f"{row:03d}" for row in range(300))
    assert (np.asarray(load_images(project.layout)) == raw_of(project)).all()
    assert read_csv(project.layout.dropped) == []


@pytest.mark.matrix
def test_one_image_or_one_reason_comes_back_and_stays(project: Project) -> None:
    dropped = read_csv(project.layout.dropped)
    one = next(line["id"] for line in dropped if line["reason"] == "exact-copy")
    project.restore([one])
    assert one in load_index(project.layout).ids
    project.restore(["contamination"])
    kept = set(load_index(project.layout).ids)
    assert {line["id"] for line in dropped if line["reason"] == "contamination"} <= kept
    project.clean(force=True)
    assert set(load_index(project.layout).ids) == kept


def test_what_was_not_dropped_cannot_be_restored(project: Project) -> None:
    with pytest.raises(DataError, match="'nonsense' is neither a dropped id nor a reason") as caught:
        restore(project.layout, ["nonsense"], silent)
    assert "exact-copy" in caught.value.hint
    assert not project.layout.overrides.exists()


def test_there_is_a_sheet_for_every_reason(project: Project) -> None:
    reasons = {line["reason"] for path in (project.layout.dropped, project.layout.noted) for line in read_csv(path)}
    assert {path.stem for path in project.layout.sheets.glob("*.png")} == reasons


def test_label_errors_are_listed_from_the_newest_blend_and_nothing_is_changed(project: Project) -> None:
    with pytest.raises(StageError, match="there are none"):
        propose_labels(project.layout, silent)
    index = load_index(project.layout)
    rng = np.random.default_rng(0)
    truth, wrong = index.labels, rng.choice(len(index.ids), 10, replace=False)
    predicted = truth.copy()
    predicted[wrong] = (predicted[wrong] + 1) % 8
    logits = (4 * np.eye(8)[predicted] + rng.normal(0, 0.5, (len(truth), 8))).astype(np.float32)
    paths = project.layout.submission("20260101T000000Z-00000000")
    Predictions(np.array(index.ids), index.classes, ("identity",), logits[None]).save(paths.predictions)
    write_candidate(paths, classes=index.classes, files=[paths.predictions])
    before = project.layout.index.read_bytes()
    propose_labels(project.layout, silent)
    with project.layout.proposals.open() as file:
        listed = [line["id"] for line in csv.DictReader(file)]
    assert {index.ids[row] for row in wrong} <= set(listed)
    assert project.layout.index.read_bytes() == before
    assert project.layout.proposals_sheet.exists()
    Predictions(np.array(index.ids), index.classes, ("identity",), -logits[None]).save(paths.predictions)
    with pytest.raises(StageError, match=r"oof\.npz was changed after the kit wrote it"):
        propose_labels(project.layout, silent)
    write_candidate(paths, classes=index.classes[::-1], files=[paths.predictions])
    with pytest.raises(StageError, match="was made from different classes"):
        propose_labels(project.layout, silent)
    write_candidate(paths, classes=index.classes)
    with pytest.raises(StageError, match=r"oof\.npz is not in the list of files that the kit wrote") as caught:
        propose_labels(project.layout, silent)
    assert caught.value.hint == "kit ensemble"


def test_files_of_an_odd_size_are_listed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for row in range(40):
        folder = tmp_path / "images" / f"class{row % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        side = (30, 300) if row == 7 else (30, 30)
        Image.fromarray(rng.integers(0, 256, (*side, 3), dtype=np.uint8)).save(folder / f"{row}.png")
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "images"\nimage_size = 24\n', encoding="utf-8")
    project = Project(tmp_path)
    project.clean()
    odd = [line for line in read_csv(project.layout.noted) if line["reason"] == "odd-size"]
    assert [line["id"].split("/")[-1] for line in odd] == ["7.png"]
    assert odd[0]["detail"] == "300 x 30 px"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_overrides_that_a_spreadsheet_saved_are_understood(tmp_path, delimiter, encoding):
    np.savez(tmp_path / "t.npz", images=np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8),
             labels=np.arange(12) % 2)  # fmt: skip
    layout = Layout(tmp_path)
    layout.overrides.write_bytes(f"id{delimiter}action\r\n3{delimiter}drop\r\n".encode(encoding))
    clean(layout, parse('[data]\ntrain = "t.npz"'), silent)
    assert [row["id"] for row in read_csv(layout.dropped)] == ["03"]
    override(layout, {"04": "drop", "03": "drop"}, silent)
    clean(layout, parse('[data]\ntrain = "t.npz"'), silent)
    assert [row["id"] for row in read_csv(layout.dropped)] == ["03", "04"]
    for line, said in (("99,drop", "'99' is no image"), ("05,maybe", "'maybe' is no action")):
        layout.overrides.write_text(f"id,action\n{line}\n")
        with pytest.raises(DataError, match=f"clean_overrides.csv line 2: {said}"):
            clean(layout, parse('[data]\ntrain = "t.npz"'), silent)
    layout.overrides.write_text("id,action\n")
    clean(layout, parse('[data]\ntrain = "t.npz"'), silent)
    assert read_csv(layout.dropped) == []
