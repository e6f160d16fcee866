"""Which rows are left out together: the rows' own folds, at most five groups of them."""

from __future__ import annotations

import numpy as np

from kit.judge.metrics import Array

GROUPS = 5


def fold_groups(fold: Array, difficulty: Array) -> Array:
    """Return (N,) group numbers, 0 to K - 1 with 3 <= K <= 5 where the rows allow it.

    A nested fit costs a fit per pair of groups, so many folds are joined; a fold is never split, because only folds
    keep related rows together. Predictions that come from one or two folds only (a hold-out set)
    are dealt out in the order of their ``difficulty`` (N,) instead, the loss of each row, which does not depend on the
    order of the rows.
    """
    sizes = np.bincount(fold)
    if len(sizes) < 3:
        dealt = np.empty(len(fold), dtype=np.int64)
        dealt[np.argsort(difficulty, kind="stable")] = np.arange(len(fold)) % GROUPS
        return np.unique(dealt, return_inverse=True)[1]
    totals, group = np.zeros(min(GROUPS, len(sizes))), np.empty(len(sizes), dtype=np.int64)
    for k in np.argsort(-sizes, kind="stable"):
        group[k] = totals.argmin()
        totals[group[k]] += sizes[k]
    return group[fold]
