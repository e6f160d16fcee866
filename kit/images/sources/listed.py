"""A ``.csv`` with ids and labels beside image files, in Kaggle's layout or any other."""

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kit.base.arrays import FloatArray
from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources.classes import has_column, named_classes, sorted_names, to_labels
from kit.images.sources.folder import image_files
from kit.images.sources.forms import read_listing
from kit.images.sources.images import ImageRows, open_images
from kit.images.sources.raw import RawSet, checked_weights
from kit.images.sources.table import find_id, find_label
from kit.store.tables import Table, read_table


def open_csv(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a table and the image files that it names; the test part needs no labels.

    The id column names a file, with its suffix or without, in `data.images` (`data.test_images` for the test), or in
    a folder beside the table: ``train/`` for ``train.csv``, ``train_images/``, ``images/``, or anywhere below it.
    A row whose file is not there is listed like an unreadable image.

    Raises `DataError` where an id stands twice, a label is missing, or no row's file is found, and `ConfigError` where
    a column cannot be told.
    """
    table, held = read_listing(root / Path(spec).expanduser())
    ids = table.column(find_id(table, data.id, _sample(data, root)))
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            raise DataError(f"{table.line(row)} has no id")
        if first.setdefault(name, row) != row:
            raise DataError(f"{table.line(row)}: id {name!r} already appears in line {first[name] + 2}")
    labels = np.full(len(ids), -1, np.int64)
    classes: tuple[str, ...] = ()
    if part != "test":
        values, classes = _classified(table, data, root)
        labels = to_labels(values, classes, [table.line(row) for row in range(len(ids))])
    named = {"train": data.images, "test": data.test_images}.get(part, "")
    rows = ImageRows(
        ids=tuple(ids),
        paths=held or tuple(_find_files(ids, _folders(table.path, part, root, named), table.path.name, part)),
        labels=labels,
        classes=classes,
        groups=tuple(table.column(data.group, "group")) if has_column(data.group, part, table.header) else (),
        weights=_weights(table, data, part),
    )
    return open_images(rows, data, f"data.{part} = {spec!r}")


def csv_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order."""
    return _classified(read_listing(path)[0], data, root)[1]


def _sample(data: DataConfig, root: Path) -> Table | None:
    return read_table(root / Path(data.sample_submission).expanduser()) if data.sample_submission else None


def _classified(table: Table, data: DataConfig, root: Path) -> tuple[list[str], tuple[str, ...]]:
    """The class of every row as it is written (for one column a class, the column with the 1), and all classes."""
    sample = _sample(data, root)
    columns = find_label(table, data.label, find_id(table, data.id, sample), sample)
    if isinstance(columns, str):
        values = table.column(columns)
        return values, named_classes(data, root) or sorted_names([value for value in values if value])
    hot = np.array([table.column(name) for name in columns], dtype=np.float64)
    return [columns[number] for number in hot.argmax(axis=0).tolist()], named_classes(data, root) or columns


def _weights(table: Table, data: DataConfig, part: str) -> FloatArray | None:
    if not has_column(data.weight, part, table.header):
        return None
    try:
        weights = np.array(table.column(data.weight, "weight"), dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{table.path.name}: column {data.weight!r} contains a value that is not a number") from error
    return checked_weights(weights, table.path.name)


def _folders(table: Path, part: str, root: Path, named: str) -> list[Path]:
    """Where the image files may be, the likeliest first."""
    if named:
        folder = root / Path(named).expanduser()
        if not folder.is_dir():
            raise DataError(f"data.{'images' if part == 'train' else 'test_images'} = {named!r}: no such folder")
        return [folder]
    stems = list(dict.fromkeys((table.stem, part)))
    names = [name for stem in stems for name in (stem, f"{stem}_images", f"{stem}-images", f"images/{stem}")]
    candidates = [table.parent / name for name in (*names, "images")] + [table.parent]
    return [folder for folder in candidates if folder.is_dir()]


def _find_files(ids: Sequence[str], folders: Sequence[Path], table: str, part: str) -> list[Path | None]:
    """The image file of every id, from the folder that has most of them; `DataError` where no folder has any."""
    best: list[Path | None] = []
    for folder in folders:
        # By path, by path without suffix, and, where only one file bears it, by name and by name without suffix.
        files, known = [(name, folder / name) for name in image_files(folder)], dict[str, Path]()
        for key in _KEYS:
            keys = [key(name) for name, _ in files]
            seen = Counter(keys)
            known = {k: path for k, (_, path) in zip(keys, files, strict=True) if seen[k] == 1} | known
        found = [known.get(posixpath.normpath(name.replace("\\", "/"))) for name in ids]
        if None not in found:
            return found
        if found.count(None) < len(found) and (not best or found.count(None) < best.count(None)):
            best = found
    if not best:
        places = ", ".join(map(str, folders)) or "no folder"
        raise DataError(
            f"{table}: no image file for id {ids[0]!r} or any other id; searched in {places}",
            f'[data] {"images" if part == "train" else "test_images"} = "folder"',
        )
    return best


_KEYS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: posixpath.splitext(name)[0],
    posixpath.basename,
    lambda name: posixpath.splitext(posixpath.basename(name))[0],
)
