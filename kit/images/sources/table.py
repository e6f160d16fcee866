"""The columns of a competition's table, found by their names, and what its sample file asks for."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kit.base.arrays import FloatArray, IntArray
from kit.base.tasks import Array
from kit.base.text import some
from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import MISSING, group_names, has_column
from kit.images.sources.raw import checked_weights
from kit.runtime.answer import id_column
from kit.runtime.names import ID_NAMES, LABEL_NAMES, bare, whole
from kit.store.tables import LONGEST, SHOWN, Table, read_table

# In columns that are one a class: an empty cell is no label.
FLAGS = dict.fromkeys(("false", "f", "no", "n", *map(str.lower, MISSING)), 0)
FLAGS |= dict.fromkeys(("true", "t", "yes", "y", "x"), 1)

# Of a column whose name ends with what labels are called: ``Finding Labels``, ``cell_class``.
ENDING = re.compile(r"(?<![a-z])(labels?|class|category|target|diagnosis|species)$", re.IGNORECASE)
# A column that says which part of the data a row is of, and its values.
SPLIT = re.compile(r"(data_?)?(split|subset|partition|usage)|set|phase|is_(train|test|val).*", re.IGNORECASE)
PART = re.compile(r".*(train|val|test|dev|eval).*|[01](\.0)?|true|false", re.IGNORECASE)

# Columns whose images are of one object: where they were divided among folds, every fold would know the answer. Sites
# and cameras are not among them, because those of the test set may be the same.
GROUPS = re.compile(
    r"(patient|subject|participant|person|animal|lesion|nodule|case|study|series|slide|specimen|biopsy|video|sequence|burst)"
    r"(s|[ _-]?(id|no|nr|num|number|code|name)|instance ?uid)?"
)
FEWEST_GROUPS = 10  # with fewer of them the folds would differ too much in size


def find_id(table: Table, named: str, sample: Table | None = None) -> str:
    """The column with the images' ids: as configured, as in the sample file, by its name, or by its values.

    Where no column has a usual name, it is the only one with files of images, or the only one with no value twice.
    Raises `ConfigError` where it cannot be told; the columns are listed.
    """
    if named:
        table.column(named, "id")
        return named
    if sample is not None and sample.header[0] in table.header:
        return sample.header[0]
    cells = {name: table.column(name) for name in table.header}
    files = [name for name in table.header if all(bare(cell) != cell for cell in cells[name])]
    different = [name for name in table.header if len(set(cells[name])) == len(table.rows)]
    like = [name for name in different if name.lower().endswith("id") and not GROUPS.fullmatch(name.lower())]
    found = _by_name(table, ID_NAMES, "id", table.header, files or (like if len(like) == 1 else different))
    # A column of patients has a value for several images; where every column does, the rows are told.
    return next((name for name in found if name in different), found[0])


def find_label(table: Table, named: str, id_column: str, sample: Table | None = None) -> str | tuple[str, ...]:
    """The column with the classes, or those, one a class, with a single 1 (or True) beside 0; errors as `find_id`."""
    if named:
        table.column(named, "label")
        if named == id_column:
            raise ConfigError(f"data.label = {named!r} is the column of the ids of {table.path.name}")
        return named
    others = [name for name in table.header if name != id_column]
    if sample is not None and len(sample.header) == 2 and sample.header[1] in others:
        return sample.header[1]
    if sample is not None and len(sample.header) > 2 and set(sample.header[1:]) <= set(others):
        return sample.header[1:]
    others = [name for name in others if not GROUPS.fullmatch(name.lower())] or others
    if len(others) == 1:
        return others[0]
    if any(name.lower() in LABEL_NAMES for name in others):
        return _by_name(table, LABEL_NAMES, "label", others)[0]
    cells = values_of(table, others)
    flags = np.flatnonzero((cells >= 0).all(axis=0) & (cells == 1).any(axis=0))
    # Some rows may have no label or several, but columns that mostly do are something else.
    if len(flags) > 1 and np.median(cells[:, flags].sum(axis=1)) == 1:
        return tuple(others[place] for place in flags)
    return _by_name(table, LABEL_NAMES, "label", others, list(filter(ENDING.search, others)))[0]


def find_group(table: Table, id_column: str, label: str = "", sample: Table | None = None) -> str:
    """The column that says by its name and values which images are of one object, else empty."""
    try:
        found = find_label(table, label, id_column, sample)
    except ConfigError:  # other tasks have their labels in other columns
        found = ()
    for name in table.header:
        if name not in (found, *found) and GROUPS.fullmatch(name.lower()):
            objects = set(group_names(table.column(name))) - {""}
            if FEWEST_GROUPS <= len(objects) < len(table.rows):
                return name
    return ""


def beside_truth(
    table: Table, data: DataConfig, part: str, ids: str, sample: Table | None = None
) -> tuple[tuple[str, ...], FloatArray | None, tuple[str, ...]]:
    """Groups and weights as of `Rows`, and a note where a column of groups is not used; errors as of the columns."""
    found = find_group(table, ids, data.label, sample) if part == "train" and not data.group else ""
    said = f"{table.path.name}: images with one value in column {found!r} are probably of one object"
    notes = [f'{said}, and are divided among folds: [data] group = "{found}"'] if found else []
    for name in filter(SPLIT.fullmatch, table.header if part == "train" else ()):
        parts = set(table.column(name)) - MISSING
        if name != data.label and 1 < len(parts) <= SHOWN and all(map(PART.fullmatch, parts)):
            said = f"{table.path.name}: column {name!r} divides the rows into {some(sorted(parts))}"
            notes.append(f"{said}; all of them are training images, so name a table of each part in [data]")
    groups = table.column(data.group, "group") if has_column(data.group, part, table.header) else []
    weights = None
    if has_column(data.weight, part, table.header):
        try:
            numbers = np.array(table.column(data.weight, "weight"), dtype=np.float64)
        except ValueError as error:
            said = f"{table.path.name}: column {data.weight!r} contains a value that is not a number"
            raise DataError(said) from error
        weights = checked_weights(numbers, table.path.name)
    return group_names(groups), weights, tuple(notes)


def values_of(table: Table, columns: Sequence[str], *, votes: bool = False) -> Array:
    """The cells (N, C) of ``columns`` as 0 (-1 where a column has 1 and -1) or 1, or as votes; -1 for any other."""

    def value(cell: str) -> float:
        if not votes and cell.lower() in FLAGS:
            return FLAGS[cell.lower()]
        try:
            number = 0.0 if cell in MISSING else float(cell)
        except ValueError:
            return -1
        return number if (0 <= number < np.inf if votes else number in (0, 1)) else -1

    def column(name: str) -> list[float]:
        cells = table.column(name)
        signs = not votes and {whole(cell) for cell in set(cells)} == {-1, 1}
        return [float(whole(cell) == 1) for cell in cells] if signs else list(map(value, cells))

    return np.array(list(map(column, columns)), float).reshape(len(columns), len(table.rows)).T


def checked_values(table: Table, columns: Sequence[str], *, votes: bool = False, hint: str = "") -> Array:
    """`values_of` the columns; raises `DataError` where one is neither."""
    cells = values_of(table, columns, votes=votes)
    wrong = np.argwhere(cells < 0)
    if len(wrong):
        row, place = wrong[0].tolist()
        said = f"{table.line(row)}: {table.column(columns[place])[row][:LONGEST]!r} in column {columns[place]!r}"
        raise DataError(f"{said} is no number of votes" if votes else f"{said} is neither 0 nor 1", hint)
    return cells


def from_flags(table: Table, columns: Sequence[str]) -> IntArray:
    """Labels (N,): the column with the 1, -1 without one; `DataError` where a cell is no flag, or a row has several."""
    cells = checked_values(table, columns, hint='[data] label = "the column with the class"')
    several = np.flatnonzero(cells.sum(axis=1) > 1)
    if len(several):
        found = some([columns[column] for column in np.flatnonzero(cells[several[0]]).tolist()])
        said = f"{table.line(int(several[0]))} has several labels ({found}), and so have {len(several) - 1} other rows"
        raise DataError(f"{said}, but the task is one class an image", '[competition] task = "multilabel"')
    return np.where(cells.any(axis=1), cells.argmax(axis=1), -1)


def _by_name(
    table: Table, names: Sequence[str], key: str, columns: Sequence[str], otherwise: Sequence[str] = ()
) -> list[str]:
    lower = {name.lower().replace(" ", "_"): name for name in columns}
    found = [lower[name] for name in names if name in lower]
    if found or len(otherwise) == 1:
        return found or list(otherwise)
    said = f"{table.path.name}: no column was recognized as the {key} among {some(table.header, SHOWN)}"
    hint = f'[data] {key} = "{columns[0 if key == "id" else -1]}"' if columns else ""
    raise ConfigError(said, hint)


def read_sample(path: Path) -> Table:
    """The sample file with the column of ids first, wherever it stands in the file; errors as `read_table`."""
    table = read_table(path)
    names = list(table.header)
    ids = names.pop(id_column(names, table.rows))
    return table.chosen((ids, *names))
