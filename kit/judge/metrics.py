"""Metrics as plain functions of ``y`` (N,) class indices and ``proba`` (N, C).

Three kinds: means of row values, functions of the confusion table, and those that need the ranks of all rows. Classes
that occur neither as label nor as prediction are left out of means over classes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError

Array = NDArray[Any]
FLOOR = 1e-15
ECE_BINS = 15


def row_nll(y: Array, proba: Array) -> Array:
    """Return (N,) log losses in nats."""
    true = proba[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(-np.log(np.clip(true / proba.sum(axis=1), FLOOR, 1.0)))


def row_brier(y: Array, proba: Array) -> Array:
    """Return (N,) squared distances from the one-hot label, between 0 and 2."""
    difference = proba.astype(np.float64)
    difference[np.arange(len(y)), y] -= 1.0
    return np.asarray(np.einsum("nc,nc->n", difference, difference))


def row_accuracy(y: Array, proba: Array) -> Array:
    """Return (N,) ones where the arg max is right."""
    return np.asarray(proba.argmax(axis=1) == y, np.float64)


def confusion(y: Array, proba: Array) -> Array:
    """Return the (C, C) counts of true (first axis) and predicted class."""
    classes = proba.shape[1]
    flat = np.bincount(y * classes + proba.argmax(axis=1), minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.float64)


def average_ranks(values: Array) -> Array:
    """Return the (N,) ranks from 1 of ``values`` (N,); equal values share the mean of theirs.

    As `scipy.stats.rankdata`, whose import takes longer than most commands, and every process of a unit needs metrics.
    """
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((count.cumsum() - (count - 1) / 2)[place])


def _present_mean(values: Array, present: Array) -> Array:
    return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))


def _divide(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def table_macro_f1(tables: Array) -> Array:
    """Macro F1 of (..., C, C) tables over the classes that occur as label or prediction."""
    true, predicted = tables.sum(axis=-1), tables.sum(axis=-2)
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    return _present_mean(_divide(2.0 * hits, true + predicted), true + predicted > 0)


def table_balanced_accuracy(tables: Array) -> Array:
    """Mean recall of (..., C, C) tables over the classes that occur as label."""
    true = tables.sum(axis=-1)
    return _present_mean(_divide(np.diagonal(tables, axis1=-2, axis2=-1).copy(), true), true > 0)


def table_qwk(tables: Array) -> Array:
    """Cohen's kappa of (..., C, C) tables with quadratic weights; 0 where only one class occurs."""
    index = np.arange(tables.shape[-1])
    distance = (index[:, None] - index[None, :]) ** 2.0
    chance = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
    expected = (distance * chance).sum(axis=(-2, -1)) / tables.sum(axis=(-2, -1))
    return np.where(expected > 0, 1.0 - _divide((distance * tables).sum(axis=(-2, -1)), expected), 0.0)


def auc(y: Array, proba: Array) -> float:
    """Area under the ROC curve, one class against the rest, mean over the classes with both kinds of rows."""
    ranks = np.apply_along_axis(average_ranks, 0, proba)
    hot = np.eye(proba.shape[1], dtype=bool)[y]
    positives, rows = hot.sum(axis=0), len(y)
    present = (positives > 0) & (positives < rows)
    if not present.any():
        raise DataError(f"AUC needs rows of two classes; all {rows} rows are of class {y[0]}", "use metric = 'nll'")
    areas = (np.where(hot, ranks, 0.0).sum(axis=0) - positives * (positives + 1) / 2)[present]
    return float(np.mean(areas / (positives * (rows - positives))[present]))


def auc_influence(y: Array, proba: Array) -> Array:
    """Return (N,) values with mean zero: what each row adds to the AUC, by the placements of DeLong et al. (1988)."""
    total, rows = np.zeros(len(y)), len(y)
    present = [c for c in range(proba.shape[1]) if 0 < np.sum(y == c) < rows]
    for c in present:
        overall = average_ranks(proba[:, c])
        for side in (y == c, y != c):
            others = rows - side.sum()
            below = (overall[side] - average_ranks(proba[side, c])) / others
            placement = below if y[side][0] == c else 1.0 - below
            total[side] += (placement - placement.mean()) * rows / side.sum() / len(present)
    return total


def ece(y: Array, proba: Array) -> float:
    """Expected calibration error of the top class in ``ECE_BINS`` bins of equal mass (Naeini et al. 2015)."""
    confidence, tied = np.unique(proba.max(axis=1), return_inverse=True)
    # Rows of one confidence share their mean accuracy, or their order would decide in which bin the errors lie.
    right = np.bincount(tied, row_accuracy(y, proba)) / np.bincount(tied)
    gaps = (confidence - right)[np.sort(tied)]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, min(ECE_BINS, len(y)))) / len(y))
