"""A competition's table: read strictly, its columns found by name."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ConfigError, DataError
from kit.store.files import read_text

ID_NAMES = (
    "id", "image_id", "image", "img", "filename", "file_name", "file", "image_name", "imageid", "imagename",
    "image_path", "img_path", "path", "filepath", "file_path", "img_id", "imgid", "id_code", "name", "uuid",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "target", "category", "diagnosis", "class_name", "classname", "label_name", "class_id",
    "species", "breed", "y", "dx", "category_id", "predicted", "prediction",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A ``.csv``: its header and rows of as many cells, as text."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str, key: str = "") -> list[str]:
        """The cells of a column; raises `ConfigError` where there is none, naming the key it was asked for by."""
        if name not in self.header:
            asked = f"data.{key} = {name!r}" if key else f"column {name!r}"
            raise ConfigError(f"{asked} not found: {self.path.name} has the columns {', '.join(self.header)}")
        position = self.header.index(name)
        return [row[position] for row in self.rows]

    def line(self, row: int) -> str:
        """Where a row stands, for an error."""
        return f"{self.path.name} line {row + 2}"


def read_table(path: Path) -> Table:
    """Read a table with a header line, in an encoding of `read_text`; commas, semicolons or tabs.

    Raises `DataError` where it is missing, not text, empty, has a column twice or a row of another length.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=max(",;\t", key=first.count))
    try:
        lines = [tuple(cell.strip() for cell in line) for line in reader]
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} cannot be read as a table: {error}") from error
    lines = [line for line in lines if any(line)]
    if len(lines) < 2:
        raise DataError(f"{path} has no rows")
    header, *rows = lines
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path} has the column {name!r} twice")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise DataError(f"{path.name} row {number} has {len(row)} cells, but the header has {len(header)}")
    return Table(path, header, tuple(rows))


def find_id(table: Table, named: str, sample: Table | None = None) -> str:
    """The column with the images' ids: as configured, as in the sample file, or by its name.

    Raises `ConfigError` where it cannot be told; the columns are listed.
    """
    if named:
        table.column(named, "id")
        return named
    if sample is not None and sample.header[0] in table.header:
        return sample.header[0]
    return _by_name(table, ID_NAMES, "id")


def find_label(table: Table, named: str, id_column: str, sample: Table | None = None) -> str | tuple[str, ...]:
    """The column with the classes, or the columns, one a class, whose cells are 0 but for a single 1.

    Raises `ConfigError` where it cannot be told; the columns are listed.
    """
    if named:
        table.column(named, "label")
        return named
    others = [name for name in table.header if name != id_column]
    if sample is not None and len(sample.header) == 2 and sample.header[1] in others:
        return sample.header[1]
    if len(others) == 1:
        return others[0]
    if any(name.lower() in LABEL_NAMES for name in others):
        return _by_name(table, LABEL_NAMES, "label", others)
    one_hot = tuple(name for name in others if set(table.column(name)) <= {"0", "1", "0.0", "1.0"})
    if len(one_hot) > 1 and all(sum(float(row[table.header.index(n)]) for n in one_hot) == 1 for row in table.rows):
        return one_hot
    return _by_name(table, LABEL_NAMES, "label", others)


def _by_name(table: Table, names: Sequence[str], key: str, columns: Sequence[str] | None = None) -> str:
    columns = table.header if columns is None else columns
    lower = {name.lower().replace(" ", "_"): name for name in columns}
    found = next((lower[name] for name in names if name in lower), None)
    if found is not None:
        return found
    said = f"{table.path.name}: no column was recognized as the {key} among {', '.join(table.header)}"
    raise ConfigError(said, f'[data] {key} = "{table.header[0] if key == "id" else table.header[-1]}"')
