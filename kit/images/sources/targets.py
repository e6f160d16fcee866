"""The truth in a table where it is more than one class an image: several labels, shares of votes, or numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kit.base.arrays import IntArray
from kit.base.tasks import TASKS, Array, Task, bins
from kit.base.text import some
from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import MISSING, PAIRED, SEPARATORS, divided, finder, named_classes, sorted_names
from kit.images.sources.table import checked_values, find_group, find_id, find_label, values_of
from kit.runtime.names import LABEL_NAMES
from kit.store.tables import LONGEST, Table


class Truth(NamedTuple):
    """Labels (N,), -1 = none; the names of the classes; notes for a person; targets as of a `RawSet`."""

    labels: IntArray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    targets: Array | None = None


def truth_of(task: Task, targets: Array, known: Array, classes: tuple[str, ...]) -> Truth:
    """The truth of rows of which those that are not ``known`` (N,) have none."""
    labels = np.minimum(task.strata(targets, classes), len(classes) - 1)
    return Truth(np.where(known, labels, -1), classes, (), targets)


def paired(table: Table, data: DataConfig, column: str) -> tuple[Table, list[int]]:
    """A table of (image, class) pairs with one row an image, and the first row of each; any other as it is."""
    ids, every = table.column(column), list(range(len(table.rows)))
    if not TASKS[data.task].several or len(set(ids)) == len(ids):
        return table, every
    label = find_label(table, data.label, column)
    if not isinstance(label, str):
        return table, every
    place, cells = table.header.index(label), table.column(label)
    first = {name: row for row, name in reversed(list(enumerate(ids)))}
    of: dict[str, list[str]] = {name: [] for name in ids}
    for name, cell in zip(ids, cells, strict=True):
        of[name].append(cell)
    kept = sorted(first.values())
    rows = [
        tuple(PAIRED.join(of[ids[row]]) if at == place else cell for at, cell in enumerate(table.rows[row]))
        for row in kept
    ]
    numbers = tuple(table.numbers[row] for row in kept if table.numbers)
    return Table(table.path, table.header, tuple(rows), numbers), kept


def of_table(table: Table, data: DataConfig, root: Path, sample: Table | None) -> Truth:
    """The truth of every row, as ``[competition] task`` says; `DataError` of a cell, `ConfigError` of the columns."""
    task, named = TASKS[data.task], named_classes(data, root)
    column = find_id(table, data.id, sample)
    group = data.group or find_group(table, column, data.label, sample)
    others = [name for name in table.header if name not in (column, group, data.weight)]
    if task.kind == "numbers":
        return _numbers(task, table, find_label(table, data.label, column, sample), named)
    columns = () if data.label else _columns(task, table, others, named, sample)
    if columns:
        cells = checked_values(table, columns, votes=not task.several)
        sums = cells.sum(axis=1)
        if task.several:
            return truth_of(task, cells.astype(np.int64), np.ones(len(cells), bool), columns)
        return truth_of(task, cells / np.maximum(sums, 1e-300)[:, None], sums > 0, columns)
    label = find_label(table, data.label, column)
    if not task.several or not isinstance(label, str):
        said = f"{table.path.name}: no columns of numbers, one a class, among {some(table.header)}"
        raise ConfigError(f"{said}, as task {task.name} needs", '[data] classes = "classes.txt" with their names')
    return _lists(task, table, label, named)


def _columns(
    task: Task, table: Table, others: Sequence[str], named: tuple[str, ...], sample: Table | None
) -> tuple[str, ...]:
    """The columns that are one a class: those named as classes, those of the sample, or all that hold such cells."""
    for wanted in (named, () if sample is None or len(sample.header) < 3 else sample.header[1:]):
        if wanted and set(wanted) <= set(others):
            return tuple(wanted)
    fit = np.flatnonzero((values_of(table, others, votes=not task.several) >= 0).all(axis=0))
    found = tuple(others[place] for place in fit.tolist())
    usual = any(name.lower() in LABEL_NAMES and name not in found for name in others)
    return () if len(found) < 2 or (task.several and usual) else found


def _lists(task: Task, table: Table, label: str, named: tuple[str, ...]) -> Truth:
    """Labels in one cell: what leaves the fewest names, or unknown classes, divides them; an empty one has none."""
    cells = ["" if cell in MISSING else cell for cell in table.column(label)]

    def strange(separator: str | None) -> tuple[int, int]:
        names = {part for cell in cells for part in divided(cell, separator)} - MISSING
        return len(names.difference(named)) if named else 0, len(names)

    separator = PAIRED if any(PAIRED in cell for cell in cells) else min(SEPARATORS, key=strange)
    rows = [[part for part in divided(cell, separator) if part not in MISSING] for cell in cells]
    classes = named or sorted_names(part for row in rows for part in row)
    find = finder(classes)
    truth = np.zeros((len(rows), len(classes)), np.int64)
    for place, row in enumerate(rows):
        found = [find(part) for part in row]
        if -1 in found:
            said = f"{table.line(place)}: {row[found.index(-1)][:LONGEST]!r} is not a class"
            raise DataError(f"{said}; the classes are {some(classes)}")
        truth[place, found] = 1
    return truth_of(task, truth, np.ones(len(rows), bool), classes)


def _numbers(task: Task, table: Table, column: str | tuple[str, ...], named: tuple[str, ...]) -> Truth:
    """A number an image; the classes are the centres of bins, those that are named or `kit.base.tasks.bins`."""
    if not isinstance(column, str):
        raise ConfigError(f"{table.path.name}: task {task.name} needs one column", f'[data] label = "{column[0]}"')
    values = table.column(column)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            numbers[row] = np.nan if value in MISSING else float(value)
        except ValueError:
            said = f"{table.line(row)}: {value[:LONGEST]!r} in column {column!r} is not a number"
            raise DataError(said) from None
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) < 2:
        raise DataError(f"{table.path.name}: column {column!r} has fewer than two different numbers")
    try:
        are_centres = len(named) != 1 and (np.diff(np.array(named, float)) > 0).all()
    except ValueError:
        are_centres = False
    if not are_centres:
        raise DataError(f"data.classes of a number must be increasing centres of bins, not {some(named)}")
    return truth_of(task, np.where(known, numbers, 0.0), known, named or bins(numbers[known]))
