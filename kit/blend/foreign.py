"""Predictions that the kit did not make: read from npz or csv, brought to one order, refused by file and row.

npz: ``ids`` (N,), ``classes`` (C,) and ``proba`` or ``logits`` (N, C), or (1, N, C); no pickles. csv: a header line
with the name of the id column and the class names, then a line per row with its id and its probabilities.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.blend.types import Array
from kit.errors import DataError
from kit.runtime.pool import from_logits

TOLERANCE = 1e-2


@dataclass(frozen=True)
class Foreign:
    """One member's predictions.

    Attributes
    ----------
    name : str
        Stem of the file.
    ids : tuple of N str
    classes : tuple of C str
    proba : (N, C) float64
    """

    name: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    proba: Array


def read_foreign(path: Path) -> Foreign:
    """Return the predictions in a file.

    Raises
    ------
    DataError
        The file is missing, of another layout, or has a row that is no distribution; names file and row.
    """
    if path.suffix not in READERS:
        raise DataError(f"{path}: predictions are read from {' or '.join(READERS)}", "see docs/ensemble.md")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    found = READERS[path.suffix](path)
    if found.proba.shape != (len(found.ids), len(found.classes)) or len(found.classes) < 2:
        raise DataError(f"{path}: {len(found.ids)} ids, {len(found.classes)} classes, shape {found.proba.shape}")
    for names, kind in ((found.ids, "id"), (found.classes, "class")):
        if len(set(names)) < len(names):
            raise DataError(f"{path}: {kind} `{max(names, key=names.count)}` is there twice")
    outside = ~np.isfinite(found.proba).all(axis=1) | (found.proba < 0).any(axis=1)
    wrong = np.flatnonzero(outside | ~(abs(found.proba.sum(axis=1) - 1) <= TOLERANCE))
    if len(wrong):
        row = found.ids[wrong[0]]
        raise DataError(
            f"{path}, row {row}: {found.proba[wrong[0]]} are no probabilities ({len(wrong)} such rows)",
            "name the array `logits` in an npz, if they are",
        )
    return found


def align(members: Sequence[Foreign], ids: Sequence[str], classes: Sequence[str]) -> Array:
    """Return (M, N, C) probabilities in the order of ``ids`` and ``classes``, whatever the order of each file.

    Raises
    ------
    DataError
        A member lacks a row or has other classes; names both. Rows beyond ``ids`` are left out.
    """
    aligned = []
    for member in members:
        if set(member.classes) != set(classes):
            other = sorted(set(member.classes) ^ set(classes))
            raise DataError(f"member `{member.name}`: class `{other[0]}` is not in both it and the labels")
        place = {name: row for row, name in enumerate(member.ids)}
        missing = [name for name in ids if name not in place]
        if missing:
            raise DataError(
                f"member `{member.name}` has no prediction of {len(missing)} rows, the first is row {missing[0]}",
                "leave the member out, or predict these rows",
            )
        rows, columns = [place[name] for name in ids], [member.classes.index(name) for name in classes]
        aligned.append(member.proba[np.ix_(rows, columns)])
    return np.stack(aligned)


def _read_npz(path: Path) -> Foreign:
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ("ids", "classes") if name not in file]
        if missing or not {"proba", "logits"} & set(file.files):
            raise DataError(f"{path} holds {', '.join(file.files)}: expected ids, classes and proba or logits")
        scores = np.asarray(file["proba"] if "proba" in file else from_logits(file["logits"]), dtype=np.float64)
        ids, classes = (tuple(map(str, file[name].tolist())) for name in ("ids", "classes"))
    if scores.ndim == 3 and len(scores) == 1:
        scores = scores[0]
    return Foreign(path.stem, ids, classes, scores)


def _read_csv(path: Path) -> Foreign:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line]
    if len(lines) < 2:
        raise DataError(f"{path} has no rows", "a header of id and class names, then a line per row")
    ids, scores = [], np.empty((len(lines) - 1, len(lines[0]) - 1))
    for row, line in enumerate(lines[1:]):
        ids.append(line[0])
        if len(line) != len(lines[0]):
            raise DataError(f"{path}, row {line[0]}: {len(line) - 1} values for {len(lines[0]) - 1} classes")
        try:
            scores[row] = [float(cell) for cell in line[1:]]
        except ValueError as error:
            raise DataError(f"{path}, row {line[0]}: {error}") from error
    return Foreign(path.stem, tuple(ids), tuple(lines[0][1:]), scores)


READERS: dict[str, Callable[[Path], Foreign]] = {".npz": _read_npz, ".csv": _read_csv}
