"""Class names: one list for training, truth and external images, whatever forms they come in."""

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.store.files import read_text


def named_classes(data: DataConfig, root: Path) -> tuple[str, ...]:
    """The names in the file that ``data.classes`` names, one a line; empty where it names none.

    Raises `DataError` where the file is missing or has a name twice.
    """
    if not data.classes:
        return ()
    path = root / Path(data.classes).expanduser()
    if not path.is_file():
        raise DataError(f"data.classes = {data.classes!r}: no such file")
    names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path.name} has the class {name!r} twice")
    return names


def sorted_names(values: Sequence[str]) -> tuple[str, ...]:
    """The distinct values in order: as numbers where all are whole numbers, else as text."""
    distinct = set(values)
    if all(_is_number(value) for value in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def to_labels(values: Sequence[str], classes: tuple[str, ...], where: Sequence[str]) -> IntArray:
    """Labels (N,) of class names, or of class numbers where the names have a file of their own.

    ``where`` says where each of the N values stands, for an error: `DataError` where a value is empty or no class.
    """
    position = {name: number for number, name in enumerate(classes)}
    if not set(values) <= set(position) and all(_is_number(value) for value in values):
        position = {str(number): number for number in range(len(classes))}
    for value, place in zip(values, where, strict=True):
        if not value:
            raise DataError(f"{place} has no label")
        if value not in position:
            listed = ", ".join(classes[:8]) + (" ..." if len(classes) > 8 else "")
            raise DataError(f"{place}: {value!r} is not a class; the classes are {listed}")
    return np.array([position[value] for value in values], np.int64)


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def has_column(named: str, part: str, columns: Container[str]) -> bool:
    """Whether a column that is configured as ``named`` is read: the training set must have it, external images may."""
    return bool(named) and (part == "train" or (part in ("external", "validation") and named in columns))


def check_no_columns(data: DataConfig, what: str) -> None:
    """Raise `ConfigError` where columns are configured for a source that has none."""
    for key in ("group", "weight"):
        if getattr(data, key):
            raise ConfigError(f"data.{key} = {getattr(data, key)!r}, but {what} has no columns", "use a .csv or .npz")
