"""The cells of a submission table: one rule for the table that the kit writes and for the notebook that Kaggle runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np


class Mismatch(ValueError):
    """A table asks for ids or classes that there are none of; ``hint`` is the key that mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


KEYS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: PurePosixPath(name).name,
    lambda name: PurePosixPath(name).stem,
)


def match_ids(wanted: Sequence[str], ids: Sequence[str], what: str) -> Any:
    """Rows int64 of ``ids`` in the order of ``wanted``: as they are, else without folders, else without suffixes too.

    Raises `Mismatch` where an id stands twice or has no image.
    """
    if len(set(wanted)) != len(wanted):
        seen: set[str] = set()
        twice = next(name for name in wanted if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Mismatch(f"{what} has the id {twice!r} twice")
    missing: list[str] = list(wanted)
    for key in KEYS:
        rows = {key(name): row for row, name in enumerate(ids)}
        if len(rows) < len(ids) or len({key(name) for name in wanted}) < len(wanted):
            continue
        missing = [name for name in wanted if key(name) not in rows]
        if not missing:
            return np.array([rows[key(name)] for name in wanted], np.int64)
    like = f"test images are called like {ids[0]!r}" if ids else "there are no test images"
    said = f"{what}: {len(missing)} of {len(wanted)} ids have no test image, the first is {missing[0]!r}; {like}"
    raise Mismatch(said, '[data] test = "raw/test"')


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

    Several columns are class names with a probability each. One column is the probability of the second of two
    classes where the metric needs probabilities, else the class: its name, or its number where the sample has
    numbers and the classes have other names.

    Raises `Mismatch` where a column is not a class, or one column must hold more than two classes' probabilities.
    """
    columns = list(header[1:])
    if not columns:
        raise Mismatch(f"{what} has only one column, {header[0]!r}; expected an id and an answer")
    if len(columns) > 1:
        position = {name.casefold(): place for place, name in enumerate(classes)}
        asked = {name.casefold() for name in columns}
        unknown = [f"{name!r} is no class" for name in columns if name.casefold() not in position]
        left_out = [f"{name!r} has no column" for name in classes if name.casefold() not in asked]
        if unknown or left_out:
            raise Mismatch(
                f"{what} has the columns {', '.join(columns[:8])}; the classes are {', '.join(classes[:8])}: "
                + (unknown + left_out)[0],
                '[data] classes = "classes.txt" with the names of the columns, in label order',
            )
        order = [position[name.casefold()] for name in columns]
        return [[number(value) for value in row] for row in proba[:, order]]
    if not metric:
        numbers = [str(place) for place in range(len(classes))]
        labels = numbers if seen <= set(numbers) and not seen <= set(classes) else classes
        return [[labels[label]] for label in proba.argmax(axis=1).tolist()]
    if len(classes) != 2:
        said = f"{what} has one column, {columns[0]!r}, for the {metric} of {len(classes)} classes"
        raise Mismatch(said, "[competition] metric: the one that the competition is scored by")
    return [[number(value)] for value in proba[:, 1]]


def number(value: float) -> str:
    """A probability as text that gives the same number to twelve digits."""
    return format(value, ".12g")
