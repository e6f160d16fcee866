"""Metrics that need the order of all rows, as curves of one class against the rest, and the calibration error.

A curve gives its value and what each row adds to it (N,), with mean zero: rows drawn are never sorted anew.
"""

from collections.abc import Callable

import numpy as np

from kit.errors import DataError
from kit.judge.metrics.rows import Array, row_accuracy

ECE_BINS = 15
SENSITIVITY = 0.8  # from which on the partial area counts: ISIC 2024


def _placements(holds: Array, said: Array) -> tuple[Array, Array]:
    """Return of each positive the share of negatives below it, and of each negative that of positives above it."""
    levels, place, count = np.unique(said[holds], return_inverse=True, return_counts=True)
    below = np.searchsorted(levels, said[~holds])
    up_to = below + (np.append(levels, np.inf)[below] == said[~holds])
    cumulated = np.append(0, count.cumsum())
    above = 1.0 - (cumulated[below] + cumulated[up_to]) / (2.0 * holds.sum())
    negatives = len(said) - holds.sum()
    # Negatives strictly below a level are those that reach no further than the level before it.
    reached = [np.bincount(each, minlength=len(levels) + 1).cumsum() for each in (up_to, below)]
    return ((reached[0] + reached[1])[: len(levels)] / (2.0 * negatives))[place], above


Curve = Callable[[Array, Array], tuple[float, Array]]
"""``(holds, said) -> (value, influence)`` of one class against the rest."""


def auc_curve(holds: Array, said: Array) -> tuple[float, Array]:
    """Area under the ROC curve, and what each row adds by the placements of DeLong et al. (1988)."""
    (positive, negative), rows = _placements(holds, said), len(said)
    area, influence = float(positive.mean()), np.empty(rows)
    for side, placement in ((holds, positive), (~holds, negative)):
        influence[side] = (placement - area) * rows / side.sum()
    return area, influence


def ap_curve(holds: Array, said: Array) -> tuple[float, Array]:
    """Average precision as scikit-learn has it, and its derivative in the weight of each row."""
    levels, place, count = np.unique(said[holds], return_inverse=True, return_counts=True)
    # Where a row is said among the positives decides what it adds, so that rows need no order among themselves.
    reached = np.searchsorted(levels, said, side="right")
    above = np.bincount(reached, minlength=len(levels) + 1)[::-1].cumsum()[-2::-1]
    precision, scale = count[::-1].cumsum()[::-1] / above, len(said) / count.sum()
    value = float(count @ precision / count.sum())
    # A row changes the precision at every positive that is said as much or less.
    up, down = (np.append(0.0, (count * term).cumsum()) for term in (1.0 / above, precision / above))
    influence = (-scale * down)[reached]
    influence[holds] += (scale * (precision - value + up[1:]))[place]
    return value, influence


def partial_curve(holds: Array, said: Array) -> tuple[float, Array]:
    """Area between the ROC curve and the least sensitivity, from 0 to .2, and what each row adds.

    That is of the positives that are said least, a fifth of all, the share of negatives below each: an integral up to a
    quantile, whose influence is that of a trimmed mean.
    """
    positive, negative = said[holds], said[~holds]
    share = (1.0 - SENSITIVITY) * len(positive)
    weight = np.minimum(share - np.arange(np.ceil(share)), 1.0) / len(positive)
    least = np.argsort(positive, kind="stable")[: len(weight)]
    # All that is asked of a negative is how many of these are below it, counting half of those said as much.
    reached = [np.searchsorted(positive[least], negative, side=side) for side in ("left", "right")]
    counts = [np.bincount(one, minlength=len(least) + 1).cumsum()[:-1] for one in reached]
    below = np.mean(counts, axis=0) / len(negative)
    capped, influence = np.full(len(positive), below[-1]), np.empty(len(said))
    capped[least] = below
    influence[holds] = (capped - capped.mean()) * len(said) / len(positive)
    taken = np.append(0.0, weight.cumsum())[reached].mean(axis=0)
    influence[~holds] = (taken.mean() - taken) * len(said) / len(negative)
    return float(weight @ below), influence


def pf_curve(holds: Array, said: Array) -> tuple[float, Array]:
    """Probabilistic F1 (Yacouby & Axman 2020), hits counted by their probability, and what each row adds."""
    hits, total = said * holds, said + holds
    value = float(2.0 * hits.sum() / total.sum())
    return value, (2.0 * hits - value * total) * len(said) / total.sum()


def over_classes(y: Array, proba: Array, *, curve: Curve, average: str = "macro") -> tuple[float, Array]:
    """Return the mean of a curve over the classes with both kinds of rows, and its influence (N,).

    ``average`` is macro, weighted by how often a class holds, or micro: all cells as rows. Of two classes that exclude
    each other it is the second.

    Raises `DataError` where no class has both kinds of rows.
    """
    if average == "micro":
        holds = y > 0 if y.ndim == 2 else y[:, None] == np.arange(proba.shape[1])
        value, cells = curve(holds.ravel(), proba.ravel())
        return value, cells.reshape(proba.shape).mean(axis=1)
    total, value, weights = np.zeros(len(y)), 0.0, 0.0
    proba = np.asfortranarray(proba)  # a column at a time is read
    for c in range(int(y.ndim == 1 and proba.shape[1] == 2), proba.shape[1]):
        holds = np.asarray(y[:, c] > 0 if y.ndim == 2 else y == c)
        if not 0 < holds.sum() < len(y):
            continue
        found, influence = curve(holds, proba[:, c])
        weight = float(holds.sum()) if average == "weighted" else 1.0
        value, weights, total = value + weight * found, weights + weight, total + weight * influence
    if not weights:
        raise DataError(f"AUC needs rows of two classes; all {len(y)} rows are of class {y[0]}", "use metric = 'nll'")
    return value / weights, total / weights


def ece_rows(y: Array, proba: Array) -> tuple[Array, Array]:
    """Return (N,) whether the top class is right, and how sure it is: all that the calibration error sees."""
    return row_accuracy(y, proba), proba.max(axis=1)


def ece_of(correct: Array, sure: Array) -> float:
    """Expected calibration error of `ece_rows` in ``ECE_BINS`` bins of equal mass (Naeini et al. 2015)."""
    confidence, tied = np.unique(sure, return_inverse=True)
    # Rows of one confidence share their mean accuracy, or their order would decide in which bin the errors lie.
    right = np.bincount(tied, correct) / np.bincount(tied)
    gaps = (confidence - right)[np.sort(tied)]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, min(ECE_BINS, len(sure)))) / len(sure))
