"""Predictions that the kit did not make: read from npz or tables, brought to one order, refused by file and row.

npz: ``ids`` (N,), ``classes`` (C,) and ``proba`` or ``logits`` (N, C), or (V, N, C) with ``views`` (V,), as the kit's
own files have them; nothing is unpickled. Tables: a header line with the name of the id column and the class names,
then a line per row with its id and its probabilities; other columns are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.errors import DataError
from kit.images.sources.table import ID_NAMES
from kit.judge.metrics import Array
from kit.runtime.names import match as names_match
from kit.runtime.pool import from_logits
from kit.store.arrays import read_arrays
from kit.store.tables import read_table

TOLERANCE = 1e-2
LAYOUT = 'np.savez("oof.npz", ids=ids, classes=classes, proba=proba)'


@dataclass(frozen=True, eq=False)
class Foreign:
    """One member's predictions (V, N, C) float64, the classes in the order that was asked for."""

    path: Path
    ids: tuple[str, ...]
    views: tuple[str, ...]
    proba: Array

    def take(self, ids: Sequence[str], rows: Array | None = None) -> Foreign:
        """The predictions of ``ids``, which stand in ``rows``, or where `match` finds them; others are left out.

        Raises `DataError` where one is missing, with file and row.
        """
        rows = match(self.ids, ids) if rows is None else rows
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            said = f"{self.path} has no predictions for {len(missing)} rows, first for row {ids[missing[0]]!r}"
            raise DataError(said, "leave the member out, or predict these rows")
        return Foreign(self.path, tuple(ids), self.views, self.proba[:, rows])


def match(names: Sequence[str], wanted: Sequence[str]) -> Array:
    """`kit.runtime.names.match` as an array (len(wanted),) int64."""
    return np.array(names_match(names, wanted), np.int64)


def member_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The shortest ends of the paths that tell them apart, without suffixes where that is enough.

    Raises `DataError` where a file is given twice.
    """
    whole = [path.absolute() for path in paths]
    for path, count in Counter(whole).items():
        if count > 1:
            raise DataError(f"{path} is given {count} times", "name each file once")
    ends = (
        tuple("/".join(path.parts[-length:]) for path in form)
        for length in range(1, max(len(path.parts) for path in whole) + 1)
        for form in ([path.with_suffix("") for path in whole], whole)
    )
    return next(names for names in ends if len(set(names)) == len(names))


def read_foreign(path: Path, classes: Sequence[str]) -> Foreign:
    """Return the predictions of ``classes`` in a file.

    Raises `DataError`: the file is missing, damaged, of another layout, lacks a class, has an id twice or a row that is
    no distribution; names file, row, class and value.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: predictions must be a {', '.join(READERS)} file with ids and class names", LAYOUT)
    found = reader(path, classes)
    twice = [name for name, count in Counter(found.ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: id {twice[0]!r} appears twice")
    total = found.proba.sum(axis=2)
    wrong = np.argwhere(abs(total - 1) > TOLERANCE)
    if len(wrong):
        view, row = wrong[0]
        raise DataError(
            f"{path}, row {found.ids[row]!r}: the probabilities of the {len(classes)} classes sum to "
            f"{total[view, row]:.4g} ({len(wrong)} such rows)",
            "save logits in an npz file, as the array `logits`",
        )
    return found


def _read_npz(path: Path, classes: Sequence[str]) -> Foreign:
    arrays = read_arrays(path, ("ids", "classes", "views", "proba", "logits"))
    kind = "proba" if "proba" in arrays else "logits"
    for name in ("ids", "classes", kind):
        if name not in arrays:
            raise DataError(f"{path} has no array {'`proba` or `logits`' if name == kind else f'`{name}`'}", LAYOUT)
    ids, names = (_texts(path, name, arrays[name]) for name in ("ids", "classes"))
    views = _texts(path, "views", arrays["views"]) if "views" in arrays else ("identity",)
    scores = arrays[kind]
    if scores.dtype.kind not in "fiub":
        raise DataError(f"{path}: array `{kind}` has dtype {scores.dtype}, not real numbers", f"{kind}.astype(float)")
    shape = scores.shape
    scores = scores.astype(np.float64)[None] if scores.ndim == 2 else scores.astype(np.float64)
    if scores.shape != (len(views), len(ids), len(names)) or not scores.size:
        expected = f"({len(views)}, {len(ids)}, {len(names)}) for its views, ids and classes"
        raise DataError(f"{path}: the array `{kind}` has shape {shape}, expected {expected}", LAYOUT)
    _check_values(path, ids, names, scores, logits=kind == "logits")
    proba = from_logits(scores) if kind == "logits" else scores
    return Foreign(path, ids, views, proba[:, :, _columns(path, names, classes)])


def _texts(path: Path, name: str, array: Array) -> tuple[str, ...]:
    """The names in an array of text, bytes or whole numbers; `DataError` for any other."""
    if array.ndim == 1 and array.dtype.kind in "US":
        try:
            return tuple(np.char.decode(array, "utf-8").tolist() if array.dtype.kind == "S" else array.tolist())
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the array `{name}` contains bytes that are not UTF-8: {error}") from error
    if array.ndim == 1 and (array.dtype.kind in "iu" or (array.dtype.kind == "f" and (array % 1 == 0).all())):
        return tuple(str(int(value)) for value in array)
    raise DataError(
        f"{path}: the array `{name}` has shape {array.shape} and dtype {array.dtype}, expected a list of names",
        LAYOUT,
    )


def _read_table(path: Path, classes: Sequence[str]) -> Foreign:
    table = read_table(path)
    columns = _columns(path, table.header, classes)
    others = [column for column in range(len(table.header)) if column not in columns]
    if not others:
        raise DataError(f"{path} has no id column besides the class columns")
    # By its name, or else the first: pandas writes a column of row numbers without a name before it.
    named = [column for column in others if table.header[column].lower() in ID_NAMES]
    ids = tuple(row[(named or others)[0]] for row in table.rows)
    scores = np.empty((1, len(ids), len(columns)))
    for number, row in enumerate(table.rows):
        for place, column in enumerate(columns):
            try:
                scores[0, number, place] = float(row[column].replace(",", "."))  # decimals of half of Europe
            except ValueError:
                where = f"{path}, row {ids[number]!r}, class {table.header[column]!r}"
                raise DataError(f"{where}: {row[column][:40]!r} is not a number") from None
    _check_values(path, ids, classes, scores, logits=False)
    return Foreign(path, ids, ("identity",), scores)


def _columns(path: Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where each class stands in ``names``."""
    found: list[int] = match(names, classes).tolist()
    if -1 in found:
        listed = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise DataError(f"{path}: class {classes[found.index(-1)]!r} of the data is missing; the file has {listed}")
    return found


def _check_values(path: Path, ids: Sequence[str], names: Sequence[str], scores: Array, *, logits: bool) -> None:
    """Refuse NaN, infinity and negative probabilities; a logit may be minus infinity, but not those of all classes."""
    wrong = np.isneginf(scores).all(axis=2, keepdims=True) if logits else scores < 0
    wrong = np.isnan(scores) | np.isposinf(scores) | wrong
    if wrong.any():
        view, row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}, row {ids[row]!r}, class {names[column]!r}: {scores[view, row, column]} is not a "
            f"{'logit' if logits else 'probability'} ({wrong.any(axis=(0, 2)).sum()} such rows)"
        )


READERS: dict[str, Callable[[Path, Sequence[str]], Foreign]] = {
    ".npz": _read_npz,
    ".csv": _read_table,
    ".tsv": _read_table,
}
