"""Class names: one list for training, truth and external images, whatever forms they come in."""

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.base.text import some
from kit.config import DataConfig
from kit.errors import DataError
from kit.runtime.names import folded, number, spelling, whole
from kit.store.files import read_text

# What pandas and spreadsheets write where there is no value; as pandas, so that `none` is a word.
MISSING = frozenset({"", "nan", "NaN", "NAN", "None", "NULL", "null", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaT"})
# Words for a patient that is not known, beside these.
UNKNOWN = frozenset({"unknown", "unk", "missing", "undefined", "unspecified", "not available", "n.a.", "?", "-", "--"})
PAIRED = "\n"  # between the labels of an image that has a row for each or a list of them: no name has it
# Between several labels in one cell; the last is white space.
SEPARATORS = (",", ";", "|", "/", "+", "&", None)
AROUND = "[](){}'\" "  # of a list, and of each label in it
LISTS = {"tags", "labels", "attributes", "findings", "categories", "classes", "targets"}
SEVERAL = '[competition] task = "multilabel", or if it is one class [data] classes = "classes.txt" with this name'


def named_classes(data: DataConfig, root: Path) -> tuple[str, ...]:
    """The names in the file ``data.classes``, one a line, empty without one; `DataError` where it has one twice."""
    if not data.classes:
        return ()
    path = root / Path(data.classes).expanduser()
    if not path.is_file():
        raise DataError(f"data.classes = {data.classes!r}: no such file")
    names = tuple(spelling(line) for line in read_text(path).splitlines() if line.strip())
    if not names:
        raise DataError(f"{path.name} has no names of classes")
    for name, count in Counter(names).items():
        if count > 1:
            raise DataError(f"{path.name} has the class {name!r} twice")
    return names


def is_unlabelled(value: str) -> bool:
    """Whether a cell says that there is no label: empty, what stands for a missing value, or a negative number."""
    return value in MISSING or (whole(value) or 0) < 0


def labelled_names(values: Iterable[str]) -> tuple[str, ...]:
    """The classes among ``values``, sorted: all that are labels, and -1 where the only label beside it is 1."""
    numbers = {whole(value): value for value in values if value not in MISSING}
    if numbers.keys() == {-1, 1}:
        return sorted_names(numbers.values())
    return sorted_names(value for value in values if not is_unlabelled(value))


def sorted_names(values: Iterable[str]) -> tuple[str, ...]:
    """The distinct values in order, as text unless all are numbers; all whole, some as 1.0, they are written as 1."""
    distinct = set(map(spelling, values))
    if any("." in value or "e" in value for value in distinct) and all(whole(value) is not None for value in distinct):
        distinct = set(map(number, distinct))
    try:
        return tuple(sorted(distinct, key=lambda value: (whole(value) or float(value), value)))
    except ValueError:
        return tuple(sorted(distinct))


def finder(classes: Sequence[str]) -> Callable[[str], int]:
    """What gives the label of a name, -1 where it is no class.

    Names are compared as they are, in one Unicode form, as numbers (1.0 is 1), and without case, unless two are equal.
    """
    keys: tuple[Callable[[str], str], ...] = (str, spelling, number, folded)
    forms = [[key(name) for name in classes] for key in keys]
    tables = [
        {form: label for label, form in enumerate(of_key) if counts[form] == 1}
        for of_key, counts in zip(forms, map(Counter, forms), strict=True)
    ]
    return lambda name: next((t[key(name)] for key, t in zip(keys, tables, strict=True) if key(name) in t), -1)


def to_labels(values: Sequence[str], classes: tuple[str, ...], where: Sequence[str]) -> IntArray:
    """Labels (N,) of class names or numbers, -1 for none; `DataError` says ``where`` one is no class, or several."""
    find = finder(classes)
    label_of = {value: find(value) for value in set(values)}
    labelled = {value for value, label in label_of.items() if label >= 0 or not is_unlabelled(value)}
    numbers = {value: whole(value) for value in label_of}
    # Numbers are places in a list of names, but never in one of numbers.
    is_numbered = None not in (numbers[value] for value in labelled) and not any(whole(n) is not None for n in classes)
    if is_numbered and any(label_of[value] < 0 for value in labelled):
        label_of = {v: n if n is not None and 0 <= n < len(classes) else -1 for v, n in numbers.items()}
    for value, place in zip(values, where, strict=True):
        if label_of[value] < 0 and value in labelled:
            check_single({value: place}, classes)
            raise DataError(f"{place}: {value[:100]!r} is not a class; the classes are {some(classes)}")
    return np.array([label_of[value] for value in values], np.int64)


def divided(value: str, separator: str | None) -> list[str]:
    """The labels in a cell, which may be those of a list in Python or JSON."""
    return [part for each in value.split(separator) if (part := each.strip(AROUND))]


def check_single(places: Mapping[str, str], names: Collection[str], column: str = "") -> None:
    """Raise `DataError` where a value is several of the names, which tell a name of two words from two labels.

    ``places`` says where each value stands first. Values that a comma, a semicolon or a bar divides are also several
    labels where every part is one of another value; those that spaces divide only in a column called like lists.
    """
    known = {name.strip(AROUND) for name in names}
    for separator in (PAIRED, *SEPARATORS):
        parts_of = {value: divided(value, separator) for value in places}
        shared = Counter(part for parts in parts_of.values() for part in parts)
        spaced = not separator and column.lower() in LISTS and len(shared) < len(places)
        lists = spaced or separator in (",", ";", "|")
        for value, parts in parts_of.items():
            fit = separator == PAIRED or known.issuperset(parts)
            if len(parts) > 1 and (fit or (lists and all(shared[part] > 1 for part in parts))):
                said = f"{places[value]}: {value[:100]!r} is several labels ({some(parts)})"
                raise DataError(f"{said}, but the task is one class an image", SEVERAL)


def has_column(named: str, part: str, columns: Container[str]) -> bool:
    """Whether a column that is configured as ``named`` is read: the training set must have it, external images may."""
    return bool(named) and (part == "train" or (part in ("external", "validation") and named in columns))


def group_names(values: Iterable[object]) -> tuple[str, ...]:
    """The user's groups as text, 1.0 as 1; what stands for one that is not known is empty, which is no group."""
    none = {*map(str.lower, MISSING), *UNKNOWN}
    names = [number(str(value)) for value in values]
    return tuple("" if name.lower() in none or (whole(name) or 0) < 0 else name for name in names)
