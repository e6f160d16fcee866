"""Tables as people and other programs save them: read strictly, in any of the usual forms."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.base.text import some
from kit.errors import ConfigError, DataError
from kit.runtime.names import spelling
from kit.store.files import read_text

HEAD = 1 << 16  # characters that the delimiter is told from
SHOWN, LONGEST = 12, 100  # columns that an error lists, and characters of a cell
DELIMITERS = ",;\t|"
_DECIMAL = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?|nan|", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """A table: its header and rows of as many cells, as text without spaces around."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()  # the line in the file that each row begins in; not known of every kind of file

    def column(self, name: str, key: str = "") -> list[str]:
        """The cells of a column; raises `ConfigError` where there is none, naming the key it was asked for by."""
        # Composed and decomposed accents are one name: kit.toml and the table come from different machines.
        names = self.header if name in self.header else tuple(map(spelling, self.header))
        wanted = name if name in names else spelling(name)
        if wanted not in names:
            asked = f"data.{key} = {name!r}" if key else f"column {name!r}"
            raise ConfigError(f"{asked} not found: {self.path.name} has the columns {some(self.header, SHOWN)}")
        position = names.index(wanted)
        return [row[position] for row in self.rows]

    def chosen(self, names: Sequence[str]) -> "Table":
        """These columns alone, in this order; `ConfigError` where there is none of a name."""
        return replace(self, header=tuple(names), rows=tuple(zip(*map(self.column, names), strict=True)))

    def line(self, row: int) -> str:
        """Where a row stands, for an error."""
        return f"{self.path.name} " + (f"line {self.numbers[row]}" if self.numbers else f"row {row + 1}")


def read_table(path: Path, *, empty: bool = False, delimiters: str = DELIMITERS) -> Table:
    """Read a table with a header line, in an encoding of `read_text`; the one of the ``delimiters`` is taken that fits.

    Excel's line ``sep=;`` and columns without name and content are passed over. Numbers with a decimal comma, all of a
    column and mostly different, are given with points. A table without a row is refused unless it may be ``empty``.

    Raises `DataError` where it is missing, not text, empty, has a column twice or a row of another length.
    """
    text = read_text(path)
    delimiter = _delimiter(text, delimiters)
    reader = _cells(text, delimiter)
    rows: list[tuple[str, ...]] = []
    numbers, first = [], 1
    try:
        for line in reader:
            if any(cell.strip() for cell in line) and not (first == 1 and line[0].startswith("sep=")):
                rows.append(tuple(cell.strip() for cell in line))
                numbers.append(first)
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} cannot be read as a table: {error}") from error
    if len(rows) < (1 if empty else 2):
        raise DataError(f"{path} has no rows")
    header = rows[0]
    for number, row in enumerate(rows):
        if len(row) != len(header):
            said = f"row {number} has {len(row)} cells, but the header has {len(header)}"
            raise DataError(f"{path.name} line {numbers[number]}: {said}")
    used = [place for place, name in enumerate(header) if name or any(row[place] for row in rows)]
    for name, count in Counter(header[place] for place in used).items():
        if count > 1:
            raise DataError(f"{path} has the column {name[:LONGEST]!r} twice")
    header, *rest = (tuple(row[place] for place in used) for row in rows)
    if delimiter != ",":
        rest = list(zip(*map(_with_points, zip(*rest, strict=True)), strict=True))
    return Table(path, header, tuple(rest), tuple(numbers[1:]))


def _cells(text: str, delimiter: str) -> Any:
    """The reader of a text; a quote opens a cell after spaces too: ``a, "b"``."""
    return csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True)


def _with_points(cells: tuple[str, ...]) -> tuple[str, ...]:
    # Two labels in every cell look alike, but come again and again: what most rows have of their own is a number.
    are_numbers = len(set(cells)) > len(cells) / 2 and all(map(_DECIMAL.fullmatch, cells))
    return tuple(cell.replace(",", ".") for cell in cells) if are_numbers else cells


def _delimiter(text: str, delimiters: str) -> str:
    """What every line of the beginning has equally often, or else the header most often."""
    head = text[:HEAD] if len(text) <= HEAD else text[:HEAD].rpartition("\n")[0]

    def evidence(delimiter: str) -> tuple[bool, int]:
        try:
            lines = [line for line in _cells(head, delimiter) if any(line)]
        except csv.Error:
            return False, 0
        lengths = [len(line) for line in lines if not line[0].startswith("sep=")] or [0]
        return len(set(lengths)) == 1 < lengths[0], lengths[0]

    return max(delimiters, key=evidence)
