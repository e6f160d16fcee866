"""A ``.csv`` with ids and labels beside image files, in Kaggle's layout or any other."""

from collections import Counter
from pathlib import Path

import numpy as np

from kit.base.arrays import FloatArray
from kit.base.tasks import TASKS
from kit.base.text import some
from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources.classes import (
    check_single,
    group_names,
    has_column,
    is_unlabelled,
    labelled_names,
    named_classes,
    to_labels,
)
from kit.images.sources.find import Finder
from kit.images.sources.forms import read_listing
from kit.images.sources.images import open_images
from kit.images.sources.raw import RawSet, Rows, checked_weights
from kit.images.sources.table import find_group, find_id, find_label, from_flags, read_sample
from kit.images.sources.targets import Truth, of_table, paired
from kit.runtime.names import ID_NAMES, bare
from kit.store.tables import LONGEST, Table


def open_csv(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a table and the image files that it names; the test part needs no labels.

    The id column, or another column with a usual name, names a file (see `Finder.find`), in `data.images`
    (`data.test_images` for the test), or in a folder beside the table: ``train/`` for ``train.csv``,
    ``train_images/``, ``images/``, or anywhere below it. A row whose file is not there is listed like an unreadable
    image; one without a label has the label -1.

    Raises `DataError` where an id stands twice, a label is no class or several, or no row's file is found, and
    `ConfigError` where a column cannot be told.
    """
    table, held = read_listing(root / Path(spec).expanduser())
    column = find_id(table, data.id, _sample(data, root))
    if part != "test":
        table, kept = paired(table, data, column)
        held = tuple(held[row] for row in kept) if held else ()
    ids = table.column(column)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            raise DataError(f"{table.line(row)} has no id")
        if first.setdefault(name, row) != row:
            before = table.line(first[name]).removeprefix(f"{table.path.name} ")
            raise DataError(f"{table.line(row)}: id {name[:LONGEST]!r} already appears in {before}")
    truth = _classified(table, data, root) if part != "test" else Truth(np.full(len(ids), -1, np.int64), ())
    rows = Rows(
        ids=tuple(ids),
        labels=truth.labels,
        classes=truth.classes,
        groups=group_names(table.column(data.group, "group")) if has_column(data.group, part, table.header) else (),
        weights=_weights(table, data, part),
        notes=(*truth.notes, *([] if data.group or part != "train" else _ungrouped(table, column, data, root))),
        task=TASKS[data.task],
        targets=truth.targets,
    )
    return open_images(rows, held or _files(table, data, root, part), data, f"data.{part} = {spec!r}")


def csv_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order."""
    table = read_listing(path)[0]
    return _classified(paired(table, data, find_id(table, data.id, _sample(data, root)))[0], data, root).classes


def _sample(data: DataConfig, root: Path) -> Table | None:
    return read_sample(root / Path(data.sample_submission).expanduser()) if data.sample_submission else None


def _files(table: Table, data: DataConfig, root: Path, part: str) -> tuple[Path | None, ...]:
    """The image file of every row, by the column that names most of them; `DataError` where none does."""
    ids = find_id(table, data.id, _sample(data, root))
    usual = [name for name in table.header if name.lower().replace(" ", "_") in ID_NAMES and name != ids]
    # A name with the suffix of an image is one of a file, and a number in another column need not be.
    columns = sorted((ids, *usual), key=lambda name: bare(table.column(name)[0]) == table.column(name)[0])
    finder = Finder(table.path, data, root, part)
    best: list[Path | None] = [None] * len(table.rows)
    for name in columns:
        found = finder.find(table.column(name))
        best = min(best, found, key=lambda paths: paths.count(None))
        if None not in best:
            break
    if any(best):
        return tuple(best)
    places = some([str(folder) for folder in finder.folders], 4) or "no folder"
    raise DataError(
        f"{table.path.name}: no image file for id {table.column(ids)[0][:LONGEST]!r} or any other id; searched in "
        f"{places}" + (f", also by the columns {some(usual)}" if usual else ""),
        f'[data] {"images" if part == "train" else "test_images"} = "folder"',
    )


def _classified(table: Table, data: DataConfig, root: Path) -> Truth:
    """Labels (N,), -1 for none, the names of the classes, and what a person should know of them."""
    sample, named = _sample(data, root), named_classes(data, root)
    if TASKS[data.task].kind != "classes":
        return of_table(table, data, root, sample)
    columns = find_label(table, data.label, find_id(table, data.id, sample), sample)
    where = [table.line(row) for row in range(len(table.rows))]
    if not isinstance(columns, str):
        hot = from_flags(table, columns)
        if named:
            return Truth(to_labels([columns[label] if label >= 0 else "" for label in hot], named, where), named)
        used = np.unique(hot[hot >= 0])
        empty = [name for label, name in enumerate(columns) if label not in used]
        said = f"{table.path.name}: no image of {some(empty)}; its probability will be 0"
        labels = np.where(hot < 0, -1, np.searchsorted(used, hot))
        return Truth(labels, tuple(columns[label] for label in used), (said,) if empty else ())
    values = table.column(columns)
    if not named:
        names = set(sample.header[1:]) if sample is not None and len(sample.header) > 2 else set[str]()
        first = {v: w for v, w in zip(reversed(values), reversed(where), strict=True) if not is_unlabelled(v)}
        check_single({value: place for value, place in first.items() if value not in names}, {*first, *names})
        named = labelled_names(values)
    labels = to_labels(values, named, where)
    unknown = Counter(value for value, label in zip(values, labels, strict=True) if label < 0 and value)
    said = f"{table.path.name}: {some([repr(value) for value in unknown])} in column {columns!r} is no label"
    hint = "if it is a class, name it in the file [data] classes"
    return Truth(labels, named, (f"{said} ({unknown.total()} rows); {hint}",) if unknown else ())


def _ungrouped(table: Table, id_column: str, data: DataConfig, root: Path) -> list[str]:
    """A note where a column says which images are of one object, and nothing keeps them in one fold."""
    named = find_group(table, id_column, data.label, _sample(data, root))
    said = f"{table.path.name}: images with one value in column {named!r} are probably of one object, and are divided"
    return [f'{said} among folds: [data] group = "{named}"'] if named else []


def _weights(table: Table, data: DataConfig, part: str) -> FloatArray | None:
    if not has_column(data.weight, part, table.header):
        return None
    try:
        weights = np.array(table.column(data.weight, "weight"), dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{table.path.name}: column {data.weight!r} contains a value that is not a number") from error
    return checked_weights(weights, table.path.name)
