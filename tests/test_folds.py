"""Laws of the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from competitions import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from kit.base.arrays import IntArray
from kit.base.events import Event, silent
from kit.config import Config, parse
from kit.errors import StageError
from kit.project import Project
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds, split
from kit.store.data import load_index
from kit.store.files import read_csv, write_csv
from kit.store.layout import Layout
from kit.store.partition import held_out, load_folds, verify_folds


def library(n: int, classes: int, groups: int, seed: int) -> tuple[tuple[str, ...], IntArray, tuple[str, ...]]:
    """Rows with imbalanced labels, some of them in groups of several rows."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(classes, 2.0))
    labels = np.r_[np.arange(classes), rng.choice(classes, n - classes, p=shares)].astype(np.int64)
    names = [f"g{rng.integers(groups)}" if rng.random() < 0.4 else f"single{row}" for row in range(n)]
    return tuple(f"{row:05d}" for row in range(n)), labels, tuple(names)


libraries = st.builds(
    library, st.integers(60, 200), st.integers(2, 6), st.integers(5, 40), st.integers(0, 10_000)
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(libraries, st.integers(2, 6), st.integers(0, 100))
def test_no_group_is_in_two_folds_and_every_row_is_in_one(data, n: int, seed: int) -> None:  # type: ignore[no-untyped-def]
    ids, labels, groups = data
    fold = split(ids, labels, groups, n=n, seed=seed)
    assert fold.shape == labels.shape
    assert set(fold.tolist()) <= set(range(n))
    owners: dict[str, int] = {}
    assert all(owners.setdefault(group, int(number)) == number for group, number in zip(groups, fold, strict=True))


@settings(max_examples=50, deadline=None)
@given(libraries, st.integers(0, 100), st.randoms(use_true_random=False))
def test_an_ids_fold_does_not_depend_on_row_order_or_label_names(data, seed: int, random) -> None:  # type: ignore[no-untyped-def]
    ids, labels, groups = data
    before = dict(zip(ids, split(ids, labels, groups, n=4, seed=seed).tolist(), strict=True))
    order = list(range(len(ids)))
    random.shuffle(order)
    names = list(range(int(labels.max()) + 1))
    random.shuffle(names)
    renamed = np.array([names[label] for label in labels[order]], np.int64)
    shuffled_ids = tuple(ids[row] for row in order)
    after = split(shuffled_ids, renamed, tuple(groups[row] for row in order), n=4, seed=seed)
    assert dict(zip(shuffled_ids, after.tolist(), strict=True)) == before


@pytest.mark.parametrize("seed", range(5))
def test_single_rows_are_dealt_out_to_within_one_of_each_class(seed: int) -> None:
    labels = np.random.default_rng(seed).choice(4, 503, p=[0.6, 0.25, 0.1, 0.05]).astype(np.int64)
    ids = tuple(f"{row}" for row in range(503))
    fold = split(ids, labels, ids, n=5, seed=seed)
    table = np.zeros((5, 4), int)
    np.add.at(table, (fold, labels), 1)
    assert (table.max(axis=0) - table.min(axis=0) <= 1).all()
    assert np.ptp(table.sum(axis=1)) <= 4


@pytest.mark.parametrize("seed", range(10))
def test_class_shares_are_at_least_as_even_as_scikit_learns(seed: int) -> None:
    ids, labels, groups = library(600, 5, 60, seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(ids))  # its own shuffling behaved like random groups before 1.8
    peer = np.empty(len(ids), np.int64)
    splitter = StratifiedGroupKFold(5)
    for number, (_, rows) in enumerate(splitter.split(ids, labels[order], np.array(groups)[order])):
        peer[order[rows]] = number

    def unevenness(fold: IntArray) -> float:
        table = np.zeros((5, 5))
        np.add.at(table, (fold, labels), 1)
        return float((table / table.sum(axis=0)).std(axis=0).mean())

    ours = split(ids, labels, groups, n=5, seed=seed)
    assert unevenness(ours) <= unevenness(peer) + 0.002


def test_another_seed_is_another_split() -> None:
    ids, labels, groups = library(200, 4, 20, 0)
    splits = {tuple(split(ids, labels, groups, n=5, seed=seed).tolist()) for seed in range(10)}
    assert len(splits) == 10


def test_pinned_ids_stay_when_rows_are_appended() -> None:
    ids, labels, groups = library(150, 4, 20, 1)
    some = 100
    before = split(ids[:some], labels[:some], groups[:some], n=5, seed=0)
    pinned = dict(zip(ids, before.tolist(), strict=False))
    after = split(ids, labels, groups, n=5, seed=0, pinned=pinned)
    assert (after[:some] == before).all()


def test_a_group_pinned_to_two_folds_is_refused_by_name() -> None:
    with pytest.raises(StageError, match="joined two groups") as caught:
        split(("a", "b"), np.array([0, 0]), ("g", "g"), n=2, seed=0, pinned={"a": 0, "b": 1})
    assert caught.value.hint == "kit folds --reset"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "digits"\nimage_size = 8\n', encoding="utf-8")
    project = Project(tmp_path)
    project.folds()
    return project


@pytest.mark.stage
def test_a_split_group_in_the_file_is_found_at_load(project: Project) -> None:
    index = load_index(project.layout)
    fold = load_folds(project.layout, project.config, index).fold
    with pytest.raises(StageError, match="is in folds"):
        verify_folds(_with_one_group(index), fold[None], 5)
    with pytest.raises(StageError, match="not a partition"):
        verify_folds(index, np.where(fold == fold[0], 99, fold)[None], 5)


def _with_one_group(index):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(index, groups=("same",) * len(index.ids))


def move_first_row(project: Project) -> tuple[list[str], list[str]]:
    """Put the first row of the table into the next fold by hand; the folds of all rows before and after."""
    path = project.layout.folds_table("folds")
    rows = read_csv(path)
    before = [row["fold"] for row in rows]
    rows[0]["fold"] = str((int(before[0]) + 1) % 5)
    write_csv(path, rows[0], [row.values() for row in rows])
    return before, [row["fold"] for row in rows]


def folds_of(project: Project) -> list[str]:
    index = load_index(project.layout)
    return [str(fold) for fold in load_folds(project.layout, project.config, index).fold.tolist()]


@pytest.mark.stage
def test_folds_that_were_edited_are_refused_until_a_person_says_what_to_do(project: Project) -> None:
    before, edited = move_first_row(project)
    for act in (folds_of, Project.folds):
        with pytest.raises(StageError, match=r"folds\.csv was changed after the kit wrote it") as caught:
            act(project)
        assert "kit folds --reset" in caught.value.hint and "kit folds --force" in caught.value.hint
    assert [row["fold"] for row in read_csv(project.layout.folds_table("folds"))] == edited
    project.folds(force=True)
    assert folds_of(project) == edited != before
    move_first_row(project)
    make_folds(project.layout, project.config, silent, reset=True)
    assert folds_of(project) == before


@pytest.mark.stage
def test_edited_folds_that_split_a_group_or_name_no_fold_are_not_taken(project: Project) -> None:
    path = project.layout.folds_table("folds")
    rows = read_csv(path)
    for wrong in ("99", "", "one"):
        write_csv(path, rows[0], [{**row, "fold": wrong if row is rows[0] else row["fold"]}.values() for row in rows])
        with pytest.raises(StageError):
            project.folds(force=True)
    make_folds(project.layout, project.config, silent, reset=True)
    assert folds_of(project) == [row["fold"] for row in rows]


@pytest.mark.stage
def test_other_names_of_the_classes_and_other_pixels_move_no_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8), np.arange(60) % 3
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "d.npz"\nclasses = "names.txt"\n', encoding="utf-8")
    found = []
    for pixels, names in ((images, "a b c"), (images, "x y z"), (images // 2, "x y z")):
        np.savez(tmp_path / "d.npz", images=pixels, labels=labels)
        (tmp_path / "names.txt").write_text("\n".join(names.split()) + "\n", encoding="utf-8")
        project = Project(tmp_path)
        project.folds()
        found.append(load_folds(project.layout, project.config, load_index(project.layout)).digest)
    assert len(set(found)) == 1


@pytest.mark.stage
def test_folds_of_another_number_are_refused_until_reset(project: Project) -> None:
    config = parse('[data]\ntrain = "digits"\nimage_size = 8\n[folds]\nn = 3\n')
    with pytest.raises(StageError, match="n = 5"):
        make_folds(project.layout, config, silent)
    make_folds(project.layout, config, silent, reset=True)
    assert load_folds(project.layout, config, load_index(project.layout)).n == 3


@pytest.mark.stage
def test_a_class_of_one_group_is_warned_about_and_a_single_group_cannot_be_split(tmp_path: Path) -> None:
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 10)
    images, groups = rng.integers(0, 256, (30, 40, 40, 3), np.uint8), np.where(labels == 2, "one", np.arange(30))
    text = '[data]\ntrain = "train.npz"\ngroup = "patient"\n[folds]\nn = {}\nmethod = "{}"'

    def split_as(patients: object, n: int = 3, method: str = "k-fold") -> str:
        np.savez(tmp_path / "train.npz", images=images, labels=labels, patient=np.asarray(patients))
        layout, config, said = Layout(tmp_path), parse(text.format(n, method)), list[Event]()
        clean(layout, config, silent)
        make_folds(layout, config, said.append, reset=True)
        return "\n".join(event.text for event in said if event.kind == "warn" and "px" not in event.text)

    assert not split_as(np.arange(30))
    assert "the classes '2' is in one fold alone" in (said := split_as(groups)) and "class '2' has 10 images" in said
    for patients, n, method, hint in (
        (["a"] * 30, 3, "k-fold", '[data] group = ""'),
        (["a"] * 20 + ["b"] * 10, 3, "k-fold", "[folds] n = 2"),
        (["a"] * 30, 3, "hold-out", '[data] group = ""'),
    ):
        with pytest.raises(StageError, match="groups of rows") as caught:
            split_as(patients, n, method)
        assert caught.value.hint.startswith(hint)
    split_as(["a"] * 20 + ["b"] * 10, 2)  # as the hint says


@pytest.mark.stage
def test_a_rare_class_is_warned_about(tmp_path: Path) -> None:

    images = np.random.default_rng(0).integers(0, 256, (63, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.r_[np.zeros(30), np.ones(30), np.full(3, 2)].astype(int))
    run = '[runs.net]\nbackbone = "plain-cnn"\n'
    (tmp_path / "kit.toml").write_text(f'[data]\ntrain = "d.npz"\nimage_size = 16\n{run}', encoding="utf-8")
    heard: list[Event] = []
    Project(tmp_path, emit=heard.append).folds()
    warnings = [event.text for event in heard if event.kind == "warn" and "folds" in event.text]
    assert warnings == ["class '2' has 3 images; there are 5 folds, some of which have none of it"]


def test_layout_names_are_relative_to_the_project(tmp_path: Path) -> None:
    assert Layout(tmp_path).folds_table("x") == tmp_path / "folds" / "x.csv"


@pytest.mark.stage
def test_repeats_are_independent_splits_of_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(
        '[data]\ntrain = "digits"\nimage_size = 8\n[folds]\nrepeats = 3\n', encoding="utf-8"
    )
    project = Project(tmp_path)
    project.folds()
    index = load_index(project.layout)
    folds = load_folds(project.layout, project.config, index)
    assert (folds.units, folds.table.shape) == (15, (3, len(index.ids)))
    assert (folds.table[0] == folds.table[1]).mean() < 0.4
    for repeat in range(3):
        times = sum(held_out(folds.table, repeat * 5 + fold).astype(int) for fold in range(5))
        assert (times == 1).all()


@pytest.mark.stage
def test_a_hold_out_keeps_its_rows_when_others_are_appended(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 300)
    config = '[data]\ntrain = "d.npz"\n[folds]\nmethod = "hold-out"\nn = 4\n'
    (tmp_path / "kit.toml").write_text(config, encoding="utf-8")
    np.savez(tmp_path / "d.npz", images=images[:200], labels=labels[:200])
    project = Project(tmp_path)
    project.folds()
    before = load_folds(project.layout, project.config, load_index(project.layout))
    assert before.units == 1
    assert 40 <= before.validated.sum() <= 60
    np.savez(tmp_path / "d.npz", images=images, labels=labels)
    project.folds()
    after = load_folds(project.layout, project.config, load_index(project.layout))
    assert (after.fold[:200] == before.fold).all()
    assert 65 <= after.validated.sum() <= 85


def given_split(root: Path, method: str = "hold-out", n: int = 3) -> tuple[Layout, Config]:
    """Six training images and six of a validation split, one of which is a copy of a training image, turned."""
    for number in range(12):
        folder = root / ("val" if number >= 6 else "train") / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(("cat", "dog")[number % 2], number, 16).save(folder / f"{number}.png")
    picture("cat", 2, 16).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "val/cat/6.png")
    text = (
        f'[data]\ntrain = "train"\nvalidation = "val"\n[clean]\nexact = "group"\n[folds]\nmethod = "{method}"\nn = {n}'
    )
    layout, config = Layout(root), parse(text)
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    return layout, config


@pytest.mark.parametrize("n", [2, 5])
def test_an_existing_validation_split_is_what_is_held_out_with_what_is_copied_from_it(tmp_path: Path, n: int) -> None:
    layout, config = given_split(tmp_path, n=n)
    index = load_index(layout)
    out = {index.ids[row] for row in np.flatnonzero(load_folds(layout, config, index).table[0] == 0)}
    assert out == {*(name for name in index.ids if name.startswith("validation/")), "cat/2.png"}
    assert len(index.ids) == 12


@pytest.mark.stage
def test_a_class_that_is_called_validation_is_not_the_validation_split(tmp_path: Path) -> None:
    layout, config = given_split(tmp_path)
    for part in ("train", "val"):
        (tmp_path / part / "cat").rename(tmp_path / part / "validation")
    clean(layout, config, silent)
    make_folds(layout, config, silent, reset=True)
    index = load_index(layout)
    out = [index.ids[row] for row in np.flatnonzero(load_folds(layout, config, index).table[0] == 0)]
    assert len(out) == 7 and [name for name in out if not name.startswith("validation/dog")].count("validation/2.png")


@pytest.mark.stage
def test_an_existing_validation_split_keeps_its_images_when_rows_are_added(tmp_path: Path) -> None:
    layout, config = given_split(tmp_path)
    picture("dog", 50, 16).save(tmp_path / "train/dog/50.png")
    picture("dog", 51, 16).save(tmp_path / "val/dog/51.png")
    clean(layout, config, silent)
    make_folds(layout, config, silent)
    index = load_index(layout)
    out = {index.ids[row] for row in np.flatnonzero(load_folds(layout, config, index).table[0] == 0)}
    assert "validation/dog/51.png" in out and "dog/50.png" not in out and len(out) == 8


def test_with_k_folds_the_images_of_a_validation_split_are_training_images(tmp_path: Path) -> None:
    layout, config = given_split(tmp_path, "k-fold")
    index = load_index(layout)
    table = load_folds(layout, config, index).table[0]
    assert set(table.tolist()) == {0, 1, 2} and len(table) == 12


@pytest.mark.stage
def test_a_validation_split_that_comes_later_moves_no_row_unasked(tmp_path: Path) -> None:
    layout, config = given_split(tmp_path)
    one = parse('[data]\ntrain = "train"\n[folds]\nmethod = "hold-out"\nn = 3')
    clean(layout, one, silent)
    make_folds(layout, one, silent, reset=True)
    clean(layout, config, silent)
    with pytest.raises(StageError, match="says otherwise") as caught:
        make_folds(layout, config, silent)
    assert "kit folds --reset" in caught.value.hint
    make_folds(layout, config, silent, reset=True)
    index = load_index(layout)
    assert sum(load_folds(layout, config, index).table[0] == 0) == 7


@pytest.mark.stage
def test_a_validation_split_is_not_repeated(tmp_path: Path) -> None:
    layout, config = given_split(tmp_path)
    folds = config.folds.model_copy(update={"repeats": 2, "name": "again"})
    with pytest.raises(StageError, match="cannot be repeated"):
        make_folds(layout, config.model_copy(update={"folds": folds}), silent)
