"""Which labels are likely wrong, judged by predictions out of fold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray
from kit.errors import DataError


@dataclass(frozen=True, slots=True)
class Proposal:
    """A label that a person should look at."""

    row: int  # of `proba`
    given: int  # the label it has
    proposed: int  # the class that the predictions favour
    score: float  # probability of the given label less its average over the rows labeled so: the lowest is the worst


def label_errors(proba: NDArray[np.floating], y: IntArray, n: int | None = None) -> tuple[Proposal, ...]:
    """Propose ``n`` labels to look at, the likeliest errors first; by default as many as `expected_errors` says.

    ``proba`` (N, C) are calibrated, every row predicted by a model that was not fitted on it; labels ``y`` are 0 to C -
    1. Confident learning (Northcutt, Jiang and Chuang 2021): the number from the confident joint, the order by the
    probability of the given label against what its class has on average. Nothing is ever applied.

    Raises `DataError` if the arrays do not fit, or a probability is not finite.
    """
    if proba.ndim != 2 or y.shape != (len(proba),) or proba.shape[1] < 2:
        raise DataError(f"probabilities of shape {proba.shape} and labels of shape {y.shape} do not match")
    if not np.isfinite(proba).all():
        raise DataError(f"probabilities of row {int(np.argwhere(~np.isfinite(proba))[0, 0])} are not finite")
    if len(y) and (y.min() < 0 or y.max() >= proba.shape[1]):
        raise DataError(f"labels from {y.min()} to {y.max()}, but {proba.shape[1]} classes")
    own = proba[np.arange(len(y)), y] - _thresholds(proba, y)[y]
    others = proba.astype(np.float64)
    others[np.arange(len(y)), y] = -np.inf
    proposed = others.argmax(axis=1)
    order = np.argsort(own, kind="stable")[: expected_errors(proba, y) if n is None else n]
    return tuple(Proposal(int(row), int(y[row]), int(proposed[row]), float(own[row])) for row in order)


def expected_errors(proba: NDArray[np.floating], y: IntArray) -> int:
    """Estimate how many of the labels are wrong: the off-diagonal of the calibrated confident joint."""
    joint = confident_joint(proba, y)
    # Rounded twice: sums in another order of the rows differ in the last bit, and x.5 must not tip over by it.
    return round(round(float(joint.sum() - np.trace(joint)), 6))


def confident_joint(proba: NDArray[np.floating], y: IntArray) -> NDArray[np.float64]:
    """Estimate how many rows bear label i and are of class j, (C, C) float64.

    A row counts for the likeliest of the classes it reaches the average confidence of; the counts of each label
    are then scaled to how often it was given.
    """
    # An average of equal numbers may exceed them by rounding.
    confident = np.where(proba >= _thresholds(proba, y) - 1e-6, proba, -1)
    sure = np.flatnonzero(confident.max(axis=1) >= 0)
    classes = proba.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (y[sure], confident[sure].argmax(axis=1)), 1)
    given = np.bincount(y, minlength=classes).astype(float)
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = given[empty]
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * given[:, None])


def _thresholds(proba: NDArray[np.floating], y: IntArray) -> NDArray[np.float64]:
    """Average probability of each class among the rows labeled so; 1 for a class nobody has."""
    own = proba[np.arange(len(y)), y]
    counts = np.bincount(y, minlength=proba.shape[1])
    sums = np.bincount(y, own, minlength=proba.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
