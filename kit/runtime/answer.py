"""The cells of a submission table: one rule for the table that the kit writes and for the notebook that Kaggle runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .names import bare, folded, match, number, spelling, whole


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


def match_ids(wanted: Sequence[str], ids: Sequence[str], what: str) -> Any:
    """Rows int64 of ``ids`` in the order of ``wanted``, compared by the first of `KEYS` that finds all.

    Raises `Mismatch` where an id stands twice or has no image.
    """
    if len(set(wanted)) != len(wanted):
        seen: set[str] = set()
        twice = next(name for name in wanted if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Mismatch(f"{what} has the id {twice[:100]!r} twice")
    rows = match(ids, wanted, KEYS)
    if -1 in rows:
        like = f"test images are called like {ids[0][:100]!r}" if ids else "there are no test images"
        first = f"the first is {wanted[rows.index(-1)][:100]!r}; {like}"
        said = f"{what}: {rows.count(-1)} of {len(wanted)} ids have no test image, {first}"
        raise Mismatch(said, '[data] test = "raw/test"')
    return np.array(rows, np.int64)


def places(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """For each name the class that it is, -1 where it is none: exactly, or else in one case and as a number."""
    exact = match(classes, names, (str, spelling, number))
    rest = [row for row, place in enumerate(exact) if place < 0]
    left = [place for place in range(len(classes)) if place not in set(exact)]
    for row, place in zip(rest, match([classes[p] for p in left], [names[r] for r in rest], (folded,)), strict=True):
        exact[row] = left[place] if place >= 0 else -1
    return exact


def answers(
    header: Sequence[str],
    seen: set[str],
    proba: Any,
    classes: Sequence[str],
    metric: str = "",
    what: str = "the sample",
) -> list[list[str]]:
    """The cells beside the id of every row of ``proba`` (N, C), as a sample file wants them.

    ``header`` is the sample's, the id first; ``seen`` is what stands in its second column; ``metric`` is the name of
    the metric where that is one of probabilities, else empty.

    Several columns are class names with a probability each, which is 0 for a name that is no class where every class
    has its column. One column with the name of a class is the probability of that class, or where the metric is of
    labels and the sample has 0 and 1 alone, whether it is that class. Any other column is the probability of the
    second of two classes where the metric needs probabilities, else the class: its name, or its number where the
    sample has numbers and the names are none. A class whose name is a number is written as that number.

    Raises `Mismatch` where a class has no column, one column must hold more than two classes' probabilities, or the
    sample has numbers that are no numbers of classes.
    """
    columns = list(header[1:])
    if not columns:
        raise Mismatch(f"{what} has only one column, {header[0]!r}; expected an id and an answer")
    found = places(columns, classes)
    if len(columns) > 1:
        missing = [name for place, name in enumerate(classes) if place not in found]
        if missing:
            unknown = [f"{name!r} is no class, " for name, place in zip(columns, found, strict=True) if place < 0]
            raise Mismatch(
                f"{what} has the columns {_some(columns)}; the classes are {_some(classes)}: "
                + "".join(unknown[:1]) + f"{missing[0]!r} has no column",
                '[data] classes = "classes.txt" with the names of the columns, in label order',
            )  # fmt: skip
        padded = np.concatenate([proba, np.zeros((len(proba), 1))], axis=1)
        return [[cell(value) for value in row] for row in padded[:, found]]
    if metric:
        if found[0] < 0 and len(classes) != 2:
            said = f"{what} has one column, {columns[0]!r}, for the {metric} of {len(classes)} classes"
            raise Mismatch(said, "[competition] metric: the one that the competition is scored by")
        return [[cell(value)] for value in proba[:, found[0] if found[0] >= 0 else 1]]
    best = proba.argmax(axis=1).tolist()
    if found[0] >= 0 and -1 in places(sorted(seen), classes) and all(map(_is_number, seen)):
        if {whole(value) for value in seen} <= {0, 1}:
            return [[str(int(label == found[0]))] for label in best]
        return [[cell(value)] for value in proba[:, found[0]]]
    labels = _labels(seen, classes, what)
    return [[labels[label]] for label in best]


def _labels(seen: set[str], classes: Sequence[str], what: str) -> list[str]:
    """How each class is written in a column of labels: its name, or its place where only the sample has numbers."""
    numbers = {whole(value) for value in seen}
    if not seen or None in numbers or any(whole(name) is not None for name in classes):
        return list(classes)
    if not all(number is not None and 0 <= number < len(classes) for number in numbers):
        listed = _some(sorted(seen))
        raise Mismatch(
            f"{what} has the labels {listed}, which are no numbers of the {len(classes)} classes {_some(classes)}",
            '[data] label = "the column with these numbers", or leave out sample_submission to write names',
        )
    return [str(place) for place in range(len(classes))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _some(names: Sequence[str]) -> str:
    return ", ".join(name[:40] for name in names[:8]) + (" ..." if len(names) > 8 else "")


def cell(value: float) -> str:
    """A probability as text that gives the same number to twelve digits."""
    return format(value, ".12g")
