"""Fits without one and without two groups of rows; together they give the choice and its honest score.

The fit without groups j and k serves twice: its predictions of k are inner cross-validation for outer group j, and
those of j for outer group k. So K groups need 1 + K + K (K - 1) / 2 fits of the candidates instead of 1 + K + K^2.
"""

import hashlib
from collections.abc import Callable, Iterable
from itertools import combinations_with_replacement
from typing import TypeVar

import numpy as np

from kit.judge.metrics import Array

GROUPS = 5
LEAST = 3  # two are left out at a time, and a fit needs rows

Fit = TypeVar("Fit")


def fold_groups(fold: Array, y: Array, names: Iterable[object], unit: Array | None = None) -> Array:
    """Return (N,) group numbers, 0 to K - 1 with 3 <= K <= 5 where the rows allow it.

    A nested fit costs a fit per pair of groups, so many folds are joined; a fold is never split, because only folds
    keep related rows together. Predictions that come from one or two folds only (a hold-out set) are dealt out class
    by class instead, in an order by hashes of the ``names`` of the rows: it depends neither on the order of the rows
    nor on what is predicted, which a file in another precision gives a little differently. The rows of a ``unit`` (N,)
    stay together, where the first of them stands.
    """
    sizes = np.bincount(fold)
    if len(sizes) < 3:
        keys = [hashlib.sha256(str(name).encode()).digest() for name in names]
        first: dict[int, bytes] = {}
        for label, key in zip(y.tolist(), keys, strict=True):
            first[label] = min(key, first.get(label, key))
        order = sorted(range(len(y)), key=lambda row: (first[int(y[row])], keys[row]))
        units, place = list(range(len(y))) if unit is None else unit.tolist(), dict[int, int]()
        for row in order:
            place.setdefault(units[row], len(place))
        return np.unique([place[one] % GROUPS for one in units], return_inverse=True)[1]
    totals, group = np.zeros(min(GROUPS, len(sizes))), np.empty(len(sizes), dtype=np.int64)
    for k in np.argsort(-sizes, kind="stable"):
        group[k] = totals.argmin()
        totals[group[k]] += sizes[k]
    return group[fold]


def cross(group: Array, fit: Callable[[Array], Fit]) -> dict[tuple[int, int], Fit]:
    """Return the fits without groups (N,) j and k, by both orders of the pair, and without j alone: j and j."""
    fits = {}
    for j, k in combinations_with_replacement(range(int(group.max()) + 1), 2):
        fits[j, k] = fits[k, j] = fit((group != j) & (group != k))
    return fits
