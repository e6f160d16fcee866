"""Fits without one and without two groups of rows; together they give the choice and its honest score.

The fit without groups j and k serves twice: its predictions of k are inner cross-validation for outer group j, and
those of j for outer group k. So K groups need 1 + K + K (K - 1) / 2 fits of the candidates instead of 1 + K + K^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from kit.judge.metrics import Array

Predict = Callable[[Array, list[Array]], list[Array]]
"""``(rows to fit on, lists of rows) -> (L, n, C)`` candidates' probabilities for each list."""


@dataclass(frozen=True)
class Crossed:
    """Out-of-fold predictions of all candidates: ``single`` (L, N, C) by fits without the row's group.

    ``double[j]`` (K, L, N, C): rows outside group j, predicted by fits without group j and their own; zeros inside j.
    """

    single: Array
    double: Array


def cross(group: Array, candidates: int, classes: int, predict: Predict) -> Crossed:
    """Return the out-of-fold predictions of ``candidates`` L and ``classes`` C for groups (N,)."""
    groups, rows = int(group.max()) + 1, len(group)
    single = np.zeros((candidates, rows, classes))
    double = np.zeros((groups, candidates, rows, classes))
    for j in range(groups):
        (single[:, group == j],) = predict(group != j, [group == j])
    for j, k in combinations(range(groups), 2):
        of_j, of_k = predict((group != j) & (group != k), [group == j, group == k])
        double[j][:, group == k], double[k][:, group == j] = of_k, of_j
    return Crossed(single, double)
