"""Tables with a column per pixel, as Kaggle's digit recogniser and sets like MNIST are handed out as text."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kit.base.tasks import TASKS, Array
from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import DataError
from kit.images.sources.npz import array_set, array_truth
from kit.images.sources.raw import RawSet, row_ids
from kit.images.sources.table import beside_truth, find_label, from_flags, read_sample
from kit.runtime.names import ID_NAMES
from kit.store.files import read_text
from kit.store.record import digest
from kit.store.tables import Table

# pixel0, pixel_12, px7, 3x28 or a plain number: a place, or row and column.
PIXEL = re.compile(r"(pixel|px|p|x|v)?[ _.-]?\d+(x\d+)?", re.IGNORECASE)
FEWEST = 16
LONGEST = 1 << 20  # bytes of a header


class Columns(NamedTuple):
    """What the first line says of a table."""

    names: tuple[str, ...]
    delimiter: str
    has_header: bool

    def places(self, *, pixels: bool) -> list[int]:
        """The places of the columns of pixels, or of the others."""
        return [place for place, name in enumerate(self.names) if bool(PIXEL.fullmatch(name)) == pixels]

    @property
    def identity(self) -> str:
        """The column of ids, else empty."""
        return next((name for name in self.names if name.lower() in ID_NAMES), "")

    @classmethod
    def of(cls, line: str) -> "Columns":
        """Of the first line; a row of pixels repeats values, and names do not: the label is before or behind them."""
        delimiter = max(",;\t", key=line.count)
        names = tuple(name.strip().strip('"') for name in line.strip("\r\n").split(delimiter))
        if not all(re.fullmatch(r"\d+(\.\d*)?", name) for name in names) or len(set(names)) == len(names):
            return cls(names, delimiter, True)
        numbered = tuple(f"pixel{place}" for place in range(len(names)))
        return cls(numbered if _is_square(len(names)) else ("label", *numbered[1:]), delimiter, False)


def is_pixel_table(path: Path) -> bool:
    """Whether the first line has the pixels of a square image, grey or RGB; beside ids, plain numbers are classes."""
    try:
        with path.open("rb") as file:
            columns = Columns.of(file.readline(LONGEST).decode("utf-8-sig", "replace"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    pixels = columns.places(pixels=True)
    numbered = all(columns.names[place].isdigit() for place in pixels)
    return _is_square(len(pixels)) and not (columns.identity and numbered)


def open_pixels(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a table with a pixel a column; raises `DataError` where a cell of one is no number."""
    path = root / Path(spec).expanduser()
    text = read_text(path)
    columns = Columns.of(text.partition("\n")[0])
    pixels = _read(text, columns, columns.places(pixels=True), np.float32, path)
    if not (pixels % 1).any():
        pixels = pixels.astype(np.int32)
    table = _others(text, columns, path)
    raw = array_set(pixels, None if part in UNLABELLED else _labels(table, data), data, root, path, [digest(path)])
    if part not in UNLABELLED:
        groups, weights, notes = beside_truth(table, data, part, table.header[0])
        raw = replace(raw, groups=groups, weights=weights, notes=(*raw.notes, *notes))
    ids = tuple(table.column(table.header[0]))
    named = columns.identity and len(set(ids)) == len(ids)
    if not named and part == "test" and data.sample_submission:
        ids = tuple(row[0] for row in read_sample(root / Path(data.sample_submission).expanduser()).rows)
    return replace(raw, ids=ids) if len(set(ids)) == len(raw.ids) else raw


def pixel_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order."""
    table = columns_beside(path)
    return array_truth(_labels(table, data), len(table.rows), data, root, path).classes


def columns_beside(path: Path) -> Table:
    """The columns that are no pixels, an id first: that of the table, else the number of the row."""
    text = read_text(path)
    return _others(text, Columns.of(text.partition("\n")[0]), path)


def _others(text: str, columns: Columns, path: Path) -> Table:
    places = columns.places(pixels=False)
    names = tuple(columns.names[place] for place in places)
    cells = _read(text, columns, places, str, path) if names else np.empty((0, 0), str)
    table = Table(path, names, tuple(map(tuple, cells.tolist())))
    if columns.identity:
        return table.chosen((columns.identity, *(name for name in names if name != columns.identity)))
    rows = tuple((row, *others) for row, others in zip(row_ids(len(cells)), table.rows, strict=True))
    return replace(table, header=("id", *names), rows=rows)


def _labels(table: Table, data: DataConfig) -> Array | Table:
    """The labels (N,) as they are written, empty where a row has none; for other tasks the table."""
    if TASKS[data.task].kind != "classes":
        return table
    found = find_label(table, data.label, table.header[0])
    if isinstance(found, str):
        return np.array(table.column(found))
    return np.array([found[place] if place >= 0 else "" for place in from_flags(table, found).tolist()])


def _read(text: str, columns: Columns, places: Sequence[int], kind: Any, path: Path) -> Array:
    try:
        form: dict[str, Any] = {"delimiter": columns.delimiter, "skiprows": int(columns.has_header), "quotechar": '"'}
        return np.loadtxt(io.StringIO(text), kind, comments=None, usecols=places, ndmin=2, **form)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}") from error


def _is_square(n: int) -> bool:
    return n >= FEWEST and (math.isqrt(n) ** 2 == n or (n % 3 == 0 and math.isqrt(n // 3) ** 2 * 3 == n))
