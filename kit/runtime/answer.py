"""The cells of a submission table: one rule for the table that the kit writes and for the notebook that Kaggle runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any, TypedDict

import numpy as np

from .decide import Decision, decide
from .names import ID_NAMES, LABEL_NAMES, bare, columns_of, folded, match, number, spelling, whole
from .pool import Params

Names = Sequence[str]  # of columns, images or classes


class Described(TypedDict, total=False):
    """What ``bundle.json`` says of answers; without a ``decision`` they are the most probable classes."""

    classes: Names
    blend: Params
    decision: Decision


class Mismatch(ValueError):
    """A table asks for ids or classes that there are none of; ``hint`` is the key that mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _last(name: str) -> str:
    return PurePosixPath(spelling(name).replace("\\", "/")).name


# Ids as they are, else without folders, the suffix of an image, leading zeros (7 is 007), or regard to case.
KEYS: tuple[Callable[[str], str], ...] = (
    str, spelling, _last, lambda name: bare(_last(name)), lambda name: number(bare(_last(name))),
    lambda name: folded(bare(_last(name))),
)  # fmt: skip

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
DIVIDERS = (" ", ", ", ",", "; ", ";", "|")  # between labels in one cell
OTHER_LABELS = '[data] label = "the column with these labels", or leave out sample_submission to write names'
BEHIND = ("_", "-", "/", " ", "|", ":")  # between the name of an image and that of a class


def match_ids(wanted: Names, ids: Names, what: str) -> Any:
    """Rows int64 of ``ids`` as in ``wanted``; `Mismatch` where one stands twice or none of `KEYS` finds it."""
    for name, count in Counter(wanted).most_common(1):
        if count > 1:
            raise Mismatch(f"{what} has the id {name[:100]!r} twice")
    rows = match(ids, wanted, KEYS)
    if -1 in rows:
        like = f"test images are called like {ids[0][:100]!r}" if ids else "there are no test images"
        first = f"the first is {wanted[rows.index(-1)][:100]!r}; {like}"
        said = f"{what}: {rows.count(-1)} of {len(wanted)} ids have no test image, {first}"
        raise Mismatch(said, '[data] test = "raw/test"')
    return np.array(rows, np.int64)


def id_column(header: Names, lines: Sequence[Names]) -> int:
    """Where the ids stand: first, unless only a later column has a name for ids and one id a line."""
    first, *others = [name.lower() for name in header]
    if first in ID_NAMES or (first not in LABEL_NAMES and len({line[0] for line in lines}) > 1):
        return 0
    found = [at for at, name in enumerate(others, start=1) if name in ID_NAMES]
    return next((at for at in found if len({line[at] for line in lines}) == len(lines)), 0)


def fill(
    header: Names,
    lines: Sequence[Names],
    ids: Names,
    proba: Any,
    description: Described,
    metric: str = "",
    what: str = "the sample",
    asked: Names | None = None,
) -> list[list[str]]:
    """The cells beside the first of every line of a sample file, from probabilities (N, C) of the images ``ids``.

    With ``asked`` the lines are an example, and these images are answered. ``metric`` and errors as of `answers`.
    """
    classes, decision = description["classes"], description.get("decision")
    if description["blend"].get("several"):
        values = proba if metric else decide(decision, proba)
        if asked is not None:  # the cell with the most labels shows what divides them
            example = max((list(line[1:]) for line in lines), key=lambda cells: sum(map(len, cells)), default=[])
            lines = [[name, *example] for name in asked]
        return labels_of(header, lines, ids, values, classes, what)
    proba = proba[match_ids([line[0] for line in lines] if asked is None else asked, ids, what)]
    if decision and decision.get("values") and len(header) == 2:
        return [[cell(value)] for value in decide(decision, proba).tolist()]
    seen = {line[1] for line in lines if len(line) > 1}
    return answers(header, seen, proba, classes, metric, what, decision)


def places(names: Names, classes: Names) -> list[int]:
    """For each name the class that it is, -1 where it is none: exactly, or else in one case and as a number."""
    exact = match(classes, names, (str, spelling, number))
    rest = [row for row, place in enumerate(exact) if place < 0]
    left = [place for place in range(len(classes)) if place not in set(exact)]
    for row, place in zip(rest, match([classes[p] for p in left], [names[r] for r in rest], (folded,)), strict=True):
        exact[row] = left[place] if place >= 0 else -1
    return exact


def class_of_column(column: str, classes: Names) -> int:
    """The class that the only column is of: by its name, or as the only one that is a word in it (``p_cat``); or -1."""
    bound = r"(?<![^\W_]){}(?![^\W_])".format
    words = [place for place, name in enumerate(classes) if re.search(bound(re.escape(name)), column, re.IGNORECASE)]
    if len(classes) > 2 and any(whole(classes[place]) is not None for place in words):
        words = []  # `level_1` need not mean the class 1
    exact = places([column], classes)[0]
    return words[0] if exact < 0 and len(words) == 1 else exact


def answers(
    header: Names,
    seen: set[str],
    proba: Any,
    classes: Names,
    metric: str = "",
    what: str = "the sample",
    decision: Decision | None = None,
) -> list[list[str]]:
    """The cells beside the id of every row of ``proba`` (N, C), as a sample file wants them.

    ``header`` is the sample's, the id first; ``seen`` is what stands in its second column; ``metric`` is the name of
    the metric where that is one of probabilities, else empty. Where ``decision`` gives several classes of a row, the
    best first, they stand in one cell. What a column stands for is told in docs/data.md. Raises `Mismatch` where a
    class has no column, one column must hold more than two classes' probabilities, or a number is none of a class.
    """
    columns = list(header[1:])
    if not columns:
        raise Mismatch(f"{what} has only one column, {header[0]!r}; expected an id and an answer")
    if len(columns) > 1:
        return [[cell(value) for value in row] for row in _in_columns(proba, columns, classes, what)]
    found = class_of_column(columns[0], classes)
    if metric:
        if found < 0 and len(classes) != 2:
            said = f"{what} has one column, {columns[0]!r}, for the {metric} of {len(classes)} classes"
            raise Mismatch(said, "[competition] metric: the one that the competition is scored by")
        return [[cell(value)] for value in proba[:, found if found >= 0 else 1]]
    best = np.asarray(decide(decision, proba)).reshape(len(proba), -1 if len(proba) else 1)
    if found >= 0 and -1 in places(sorted(seen), classes) and all(map(NUMBER.fullmatch, seen)):
        if {whole(value) for value in seen} <= {0, 1}:
            return [[str(int(label == found))] for label in best[:, 0]]
        return [[cell(value)] for value in proba[:, found]]
    labels = _labels(seen, classes, what)
    return [[" ".join(labels[label] for label in row)] for row in best.tolist()]


def labels_of(
    header: Names, lines: Sequence[Names], ids: Names, values: Any, classes: Names, what: str = "the sample"
) -> list[list[str]]:
    """The cells beside the first of every line of a sample file, where an image has any number of labels.

    ``values`` (N, C) are of the images ``ids``: probabilities, or 0 and 1 (integers). Raises `Mismatch` where an image
    or a class cannot be found.
    """
    names, write = [line[0] for line in lines], cell if values.dtype.kind == "f" else str
    if len(header) == 3 and len(set(names)) < len(names):
        asked = [line[1] for line in lines]
        known = dict(zip(set(asked), places(list(set(asked)), classes), strict=True))
        row, label = _images(names, ids, what), [known[name] for name in asked]
        if -1 in label:
            said = f"{what}: {asked[label.index(-1)][:100]!r} in column {header[1]!r} is no class"
            raise Mismatch(f"{said}; the classes are {_some(classes)}")
        return [[name, write(value)] for name, value in zip(asked, values[row, label].tolist(), strict=True)]
    # In a line of one class it ends the name after a sign: `cat` in ``12_cat``; the longest where there are several.
    ends = [tuple(sign + name for sign in BEHIND) for name in classes]
    behind = [[place for place, end in enumerate(ends) if name.endswith(end)] for name in names]
    if len(header) == 2 and all(behind):
        label = [max(found, key=lambda place: len(classes[place])) for found in behind]
        images = [name[: -len(classes[place]) - 1] for name, place in zip(names, label, strict=True)]
        return [[write(value)] for value in values[_images(images, ids, what), label].tolist()]
    values = values[match_ids(names, ids, what)]
    if len(header) > 2:
        return [[write(value) for value in row] for row in _in_columns(values, header[1:], classes, what).tolist()]
    if values.dtype.kind == "f":
        said = f"{what} has one column, {header[1]!r}, for the probabilities of {len(classes)} labels"
        raise Mismatch(said, "[competition] metric: the one that the competition is scored by")
    cells = [line[1] for line in lines]
    fit = (d for d in DIVIDERS if any(set(listed.split(d)) <= set(classes) for listed in cells if d in listed))
    divider = next(fit, " ")
    return [[divider.join(name for name, one in zip(classes, row, strict=True) if one)] for row in values.tolist()]


def _images(names: Names, ids: Names, what: str) -> Any:
    """Rows of ``ids`` of names that stand in several lines."""
    once = list(dict.fromkeys(names))
    row_of = dict(zip(once, match_ids(once, ids, what).tolist(), strict=True))
    return np.array([row_of[name] for name in names], np.int64)


def _in_columns(values: Any, columns: Names, classes: Names, what: str) -> Any:
    """Values (N, C) of the classes as those of columns, 0 in one of no class; every class must have its column."""
    found = columns_of(columns, classes)
    if -1 in found:
        no_class = next((f"{name!r} is no class, " for place, name in enumerate(columns) if place not in found), "")
        said = f"{what} has the columns {_some(columns)}; the classes are {_some(classes)}: {no_class}"
        hint = '[data] classes = "classes.txt" with the names of the columns, in label order'
        raise Mismatch(f"{said}{classes[found.index(-1)]!r} has no column", hint)
    told = np.zeros((len(values), len(columns)), values.dtype)
    told[:, found] = values
    return told


def _labels(seen: set[str], classes: Names, what: str) -> list[str]:
    """How each class is written in a column of labels: its name, or its place where only the sample has numbers."""
    numbers, said = {whole(value) for value in seen}, f"{what} has the labels {_some(sorted(seen))}"
    # One value may stand for any class, but several are words that somebody chose.
    words = {value for value in seen if value.casefold() not in ("", "nan", "na", "none", "null")}
    parts = {part for value in words for divider in DIVIDERS for part in value.split(divider)}
    if len(words) > 1 and None in numbers and set(places(sorted(parts), classes)) == {-1}:
        raise Mismatch(f"{said}, none of which is one of the classes {_some(classes)}", OTHER_LABELS)
    if not seen or None in numbers or any(whole(name) is not None for name in classes):
        return list(classes)
    if not numbers <= set(range(len(classes))):
        raise Mismatch(f"{said}, which are no numbers of the {len(classes)} classes {_some(classes)}", OTHER_LABELS)
    return list(map(str, range(len(classes))))


def _some(names: Names) -> str:
    return ", ".join(name[:40] for name in names[:8]) + (" ..." if len(names) > 8 else "")


def cell(value: float) -> str:
    """A probability as text that gives the same number to twelve digits."""
    return format(value, ".12g")
