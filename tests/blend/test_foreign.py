"""Predictions of others: any order is brought to one, anything broken is refused by file and row."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import library

from kit.blend.foreign import align, read_foreign
from kit.errors import DataError

IDS, CLASSES = tuple(f"img{i}" for i in range(40)), ("cat", "dog", "emu")


def write_csv(path, ids, classes, proba):
    lines = [",".join(["id", *classes])]
    lines += [",".join([name, *map(repr, row.tolist())]) for name, row in zip(ids, proba, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_npz_of_logits_and_csv_in_another_order_of_rows_and_classes_are_aligned(tmp_path):
    proba, _, _ = library(0, members=2, rows=40, classes=3)
    np.savez(tmp_path / "a.npz", ids=np.array(IDS), classes=np.array(CLASSES), logits=np.log(proba[0]) + 3)
    rows, columns = np.random.default_rng(0).permutation(40), [2, 0, 1]
    shuffled = proba[1][np.ix_(rows, columns)]
    write_csv(tmp_path / "b.csv", [IDS[r] for r in rows], [CLASSES[c] for c in columns], shuffled)
    members = [read_foreign(tmp_path / name) for name in ("a.npz", "b.csv")]
    assert np.allclose(align(members, IDS, CLASSES), proba)
    assert [member.name for member in members] == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.__setitem__((7, 0), np.nan), "row img7"),
        (lambda p: p.__setitem__(7, p[7] * 2), "row img7"),
        (lambda p: p.__setitem__(7, [-0.5, 0.5, 1.0]), "row img7"),
    ],
)
def test_a_row_that_is_no_distribution_is_refused(tmp_path, change, message):
    proba = library(1, members=1, rows=40, classes=3)[0][0]
    change(proba)
    with pytest.raises(DataError, match=message):
        read_foreign(write_csv(tmp_path / "a.csv", IDS, CLASSES, proba))


def test_missing_rows_other_classes_and_doubled_ids_are_refused_by_name(tmp_path):
    proba = library(2, members=1, rows=40, classes=3)[0][0]
    short = read_foreign(write_csv(tmp_path / "short.csv", IDS[:39], CLASSES, proba[:39]))
    with pytest.raises(DataError, match="`short` has no prediction of 1 rows, the first is row img39"):
        align([short], IDS, CLASSES)
    with pytest.raises(DataError, match="class `elk`"):
        align([short], IDS[:39], ("cat", "dog", "elk"))
    with pytest.raises(DataError, match="id `img0` is there twice"):
        read_foreign(write_csv(tmp_path / "twice.csv", ("img0",) * 2, CLASSES, proba[:2]))


def test_files_of_another_layout_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,cat,dog\nimg0,0.5\n")
    with pytest.raises(DataError, match="row img0"):
        read_foreign(tmp_path / "a.csv")
    np.savez(tmp_path / "b.npz", ids=np.array(IDS))
    with pytest.raises(DataError, match="expected ids, classes and proba or logits"):
        read_foreign(tmp_path / "b.npz")
    with pytest.raises(DataError, match="does not exist"):
        read_foreign(tmp_path / "c.csv")
    with pytest.raises(DataError, match="predictions are read from"):
        read_foreign(tmp_path / "d.txt")
