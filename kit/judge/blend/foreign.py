"""Predictions that the kit did not make: read in the layouts of docs/ensemble.md, refused by file, row and value.

Arrays without ids have the rows of a list of ids beside them, or those of the project in their order; arrays without
names of classes have the project's. Nothing is unpickled.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.base.tasks import ONE_CLASS, Task
from kit.base.text import unguarded
from kit.errors import DataError
from kit.images.sources.forms import read_parquet
from kit.judge.metrics import Array
from kit.runtime.answer import KEYS
from kit.runtime.names import ID_NAMES, columns_of
from kit.runtime.names import match as names_match
from kit.runtime.pool import from_logits
from kit.store.arrays import read_array, read_arrays
from kit.store.files import read_text
from kit.store.tables import read_table

TOLERANCE = 1e-2
ROUNDING = 1e-6  # what single precision leaves below 0 of a probability that is 0
LAYOUT = 'np.savez("oof.npz", ids=ids, classes=classes, proba=proba)'
# What others call their arrays, and whether the name says what the numbers are: "" is told from the numbers.
SCORES = {"proba": "proba", "logits": "logits", "probs": "proba", "probabilities": "proba"}
SCORES |= dict.fromkeys(("predictions", "preds", "oof", "arr_0"), "")
IDS, CLASSES = (*(f"{name}s" for name in ID_NAMES), *ID_NAMES), ("classes", "class_names", "columns")
# Beside `oof.npy`: `oof.ids.txt`, `oof_ids.npy`, `ids.csv` ...
ORDERS = tuple(f"{name}{suffix}" for name in ("{}.ids", "{}_ids", "ids") for suffix in (".txt", ".csv", ".npy"))


@dataclass(frozen=True, eq=False)
class Foreign:
    """One member's predictions (V, N, C) float64, the classes in the order that was asked for; or numbers (V, N, 1).

    ``assumed`` says that the file has no ids, and its rows were taken in an order of the project; ``guessed`` that it
    does not say what its numbers are, and they were taken for logits.
    """

    path: Path
    ids: tuple[str, ...]
    views: tuple[str, ...]
    proba: Array
    assumed: bool = False
    guessed: bool = False

    def take(self, ids: Sequence[str], rows: Array | None = None) -> "Foreign":
        """The predictions of ``ids``, which stand in ``rows``, or where `match` finds them; others are left out.

        Raises `DataError` where one is missing, with file and row.
        """
        rows = match(self.ids, ids) if rows is None else rows
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            said = f"{self.path} has no predictions for {len(missing)} rows, first for row {ids[missing[0]]!r}"
            raise DataError(f"{said}; it has {self.ids[0]!r} ...", "leave the member out, or predict these rows")
        return Foreign(self.path, tuple(ids), self.views, self.proba[:, rows])


@dataclass(frozen=True, eq=False)
class _Given:
    """What a file holds: scores (V, N, C) of a ``kind`` that may not be known, nor ids and names of classes."""

    ids: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    views: tuple[str, ...]
    scores: Array
    kind: str


def match(names: Sequence[str], wanted: Sequence[str]) -> Array:
    """`kit.runtime.names.match` of ids, by `KEYS`, as an array (len(wanted),) int64."""
    return np.array(names_match(names, wanted, KEYS), np.int64)


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


def read_foreign(
    path: Path, classes: Sequence[str], orders: Sequence[Sequence[str]] = (), task: Task = ONE_CLASS
) -> "Foreign":
    """Return the predictions of ``classes`` in a file, or those of numbers, which may stand for their distributions.

    ``orders`` are lists of ids that the rows of a file without ids may stand for; the first of its length is taken.
    Where a table has several columns that might be the ids, it is the one with the most of the first list.

    Raises `DataError`: the file is missing, damaged, of another layout, lacks a class, has an id twice or a row that is
    no distribution; names file, row, class and value.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: predictions must be a {', '.join(READERS)} file", LAYOUT)
    given = reader(path, classes, orders)
    scores, is_number = given.scores, task.kind == "numbers" and given.scores.shape[2] == 1
    classes = ("number",) if is_number else tuple(classes)
    names = classes if given.classes is None or is_number else given.classes
    ids = given.ids or _ids_beside(path, scores.shape[1])
    assumed = ids is None
    ids = ids or _order(path, scores.shape[1], orders)
    if scores.shape[2] != len(names):
        said = f"{path} has {scores.shape[2]} columns without names, but the data have {len(names)} classes"
        raise DataError(said, LAYOUT)
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: id {twice[0]!r} appears twice")
    # Logits are told by most rows having a negative number, which no probability is, and not summing to 1.
    odd = (scores < 0).any(axis=2) & (task.several | (abs(scores.sum(axis=2) - 1) > TOLERANCE))
    guessed = not given.kind and not is_number and bool(odd.mean() > 0.5)
    logits = not is_number and (given.kind == "logits" or guessed)
    scores = scores if logits or is_number else np.where((scores < 0) & (scores >= -ROUNDING), 0.0, scores)
    kind = "number" if is_number else "logit" if logits else "probability"
    _check_values(path, ids, names, scores, kind, most=1 + TOLERANCE if task.several else np.inf)
    proba = (from_logits(scores, task.several) if logits else scores)[:, :, _columns(path, names, classes)]
    total = proba.sum(axis=2)
    wrong = np.argwhere(abs(total - 1) > TOLERANCE)
    if len(wrong) and not (task.several or is_number):
        view, row = wrong[0]
        said = f"the probabilities of the {len(classes)} classes sum to {total[view, row]:.4g} ({len(wrong)} such rows)"
        raise DataError(f"{path}, row {ids[row]!r}: {said}", "save logits in an npz file, as the array `logits`")
    return Foreign(path, ids, given.views, np.minimum(proba, 1.0) if task.several else proba, assumed, guessed)


def _ids_beside(path: Path, rows: int) -> tuple[str, ...] | None:
    """The list of ids beside a file without ids, None where there is none."""
    beside = [path.with_name(name.format(path.stem)) for name in ORDERS]
    file = next((file for file in beside if file.exists() and file != path), None)
    if file is None:
        return None
    if file.suffix == ".npy":
        ids = _texts(file, "ids", read_array(file))
    elif file.suffix == ".csv":
        table = read_table(file)
        ids = tuple(table.column(next((name for name in table.header if name.lower() in ID_NAMES), table.header[0])))
    else:
        ids = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
    if len(ids) != rows:
        raise DataError(f"{file} has {len(ids)} ids, but {path} has {rows} rows")
    return ids


def _order(path: Path, rows: int, orders: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The first of ``orders`` with as many ids as a file without ids has rows."""
    for order in orders:
        if len(order) == rows:
            return tuple(order)
    known = " or ".join(dict.fromkeys(str(len(order)) for order in orders)) or "none"
    said = f"{path} has {rows} rows without ids, but the data have {known}"
    raise DataError(said, f"write the ids, one per line, to {path.with_suffix('.ids.txt').name} beside it")


def _read_npz(path: Path, classes: Sequence[str], orders: Sequence[Sequence[str]]) -> _Given:
    arrays = read_arrays(path, (*SCORES, *IDS, *CLASSES, "views"))
    name = next((name for name in SCORES if name in arrays), None)
    if name is None:
        raise DataError(f"{path} has no array `proba` or `logits`", LAYOUT)
    ids, names = (
        next((_texts(path, name, arrays[name]) for name in kind if name in arrays), None) for kind in (IDS, CLASSES)
    )
    views = _texts(path, "views", arrays["views"]) if "views" in arrays else ("identity",)
    return _Given(ids, names, views, _scores(path, name, arrays[name], (views, ids, names)), SCORES[name])


def _read_npy(path: Path, classes: Sequence[str], orders: Sequence[Sequence[str]]) -> _Given:
    scores = _scores(path, path.stem, read_array(path), (("identity",), None, None))
    return _Given(None, None, ("identity",), scores, "")


def _scores(path: Path, name: str, array: Array, axes: Sequence[tuple[str, ...] | None]) -> Array:
    """The array as (V, N, C) float64; ``axes`` are its views, ids and classes where they are known."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: array `{name}` has dtype {array.dtype}, not real numbers", f"{name}.astype(float)")
    scores = array.astype(np.float64)
    scores = scores if array.ndim > 2 else scores.reshape(1, len(scores), -1) if array.size else scores
    wanted = [None if axis is None else len(axis) for axis in axes]
    fits = scores.ndim == 3 and all(n in (None, size) for n, size in zip(wanted, scores.shape, strict=True))
    if not fits or not scores.size:
        expected = ", ".join(letter if n is None else str(n) for n, letter in zip(wanted, "VNC", strict=True))
        said = f"has shape {array.shape}, expected ({expected}) for its views, ids and classes"
        raise DataError(f"{path}: the array `{name}` {said}", LAYOUT)
    return scores


def _texts(path: Path, name: str, array: Array) -> tuple[str, ...]:
    """The names in an array of text, bytes or whole numbers; `DataError` for any other."""
    if array.ndim == 1 and array.dtype.kind in "US":
        try:
            return tuple(np.char.decode(array, "utf-8").tolist() if array.dtype.kind == "S" else array.tolist())
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: the array `{name}` contains bytes that are not UTF-8: {error}") from error
    if array.ndim == 1 and (array.dtype.kind in "iu" or (array.dtype.kind == "f" and (array % 1 == 0).all())):
        return tuple(str(int(value)) for value in array)
    said = f"has shape {array.shape} and dtype {array.dtype}, expected a list of names"
    raise DataError(f"{path}: the array `{name}` {said}", LAYOUT)


def _read_table(path: Path, classes: Sequence[str], orders: Sequence[Sequence[str]]) -> _Given:
    table = read_parquet(path)[0] if path.suffix.lower() == ".parquet" else read_table(path)
    if len(table.header) == 2:  # ids and numbers, where a number is asked for
        classes = [table.header[int(table.header[1].lower() not in ID_NAMES)]]
    columns = _columns(path, table.header, classes)
    others = [column for column in range(len(table.header)) if column not in columns]
    if not others:
        raise DataError(f"{path} has no id column besides the class columns")
    # By its name, or else the first: pandas writes a column of row numbers without a name before it.
    named = [column for column in others if table.header[column].lower() in ID_NAMES]
    candidates = {column: tuple(row[column] for row in table.rows) for column in (*named, *others[:10])}
    wanted = orders[0] if orders else ()
    hits = {column: int((match(ids, wanted) >= 0).sum()) for column, ids in candidates.items()}
    # Numbers of rows may be more of the ids than a column `id` of some rows has, so that one goes first.
    ids = candidates[max(hits, key=lambda column: (column in named and hits[column] > 0, hits[column]))]
    scores = np.empty((1, len(ids), len(columns)))
    for row_number, row in enumerate(table.rows):
        for place, column in enumerate(columns):
            try:
                scores[0, row_number, place] = float(row[column].replace(",", "."))  # decimals of half of Europe
            except ValueError:
                where = f"{path}, row {ids[row_number]!r}, class {table.header[column]!r}"
                raise DataError(f"{where}: {row[column][:40]!r} is not a number") from None
    return _Given(ids, tuple(classes), ("identity",), scores, "")


def _columns(path: Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    found = columns_of(names, classes, unguarded)
    if -1 in found:
        listed = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise DataError(f"{path}: class {classes[found.index(-1)]!r} of the data is missing; the file has {listed}")
    return found


def _check_values(
    path: Path, ids: Sequence[str], names: Sequence[str], scores: Array, kind: str, *, most: float
) -> None:
    """Refuse NaN, infinity and negative probabilities; a logit may be minus infinity, but not those of all classes."""
    wrong = (scores < 0) | (scores > most) if kind == "probability" else np.isneginf(scores).all(axis=2, keepdims=True)
    wrong = np.isnan(scores) | np.isposinf(scores) | wrong
    if wrong.any():
        view, row, column = np.argwhere(wrong)[0]
        said = f"is not a {kind} ({wrong.any(axis=(0, 2)).sum()} such rows)"
        raise DataError(f"{path}, row {ids[row]!r}, class {names[column]!r}: {scores[view, row, column]} {said}")


READERS: dict[str, Callable[[Path, Sequence[str], Sequence[Sequence[str]]], _Given]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_table,
    ".tsv": _read_table,
    ".parquet": _read_table,
}
