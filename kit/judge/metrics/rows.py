"""Metrics of rows: ``row_NAME`` gives the value of each row, ``all_NAME`` that of all and what each row adds to it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FLOOR = 1e-15


def classes_of(said: Array) -> Array:
    """Return (N,) class indices: as they are, the first of k answers, or the arg max of probabilities."""
    if said.ndim == 1:
        return said
    return said[:, 0] if said.dtype.kind in "iu" else said.argmax(axis=1)


def _log(values: Array) -> Array:
    return np.asarray(np.log(np.clip(values, FLOOR, 1.0)))


def row_nll(y: Array, proba: Array) -> Array:
    """Return (N,) log losses in nats; of several labels the mean over the columns."""
    if y.ndim == 2 and y.dtype.kind != "f":
        given = proba.astype(np.float64)
        return np.asarray(-_log(np.where(y == 1, given, 1.0 - given)).mean(axis=1))
    whole = proba.sum(axis=1)
    if y.ndim == 2:
        return np.asarray(-(y * _log(proba / whole[:, None])).sum(axis=1))
    true = proba[np.arange(len(y)), y].astype(np.float64)
    return -_log(true / whole)


def row_kl(y: Array, proba: Array) -> Array:
    """Return (N,) Kullback-Leibler divergences in nats of what was said from shares of votes (N, C), or from labels."""
    entropy = (y * _log(y)).sum(axis=1) if y.ndim == 2 else 0.0
    return row_nll(y, proba) + entropy


def row_brier(y: Array, proba: Array) -> Array:
    """Return (N,) squared distances from the one-hot label, between 0 and 2; of several labels the columns' mean."""
    difference = proba.astype(np.float64)
    if y.ndim == 2:
        squares = (difference - y) ** 2
        return np.asarray(squares.sum(axis=1) if y.dtype.kind == "f" else squares.mean(axis=1))
    difference[np.arange(len(y)), y] -= 1.0
    return np.asarray(np.einsum("nc,nc->n", difference, difference))


def row_accuracy(y: Array, said: Array) -> Array:
    """Return (N,) ones where the answer is right; of several labels the share of columns that are."""
    if y.ndim == 2:
        return np.asarray((y == labels_of(said)).mean(axis=1))
    return np.asarray(classes_of(said) == y, np.float64)


def labels_of(said: Array) -> Array:
    """Return (N, L) zeros and ones: as they are, or probabilities of more than a half."""
    return said if said.dtype.kind in "iub" else np.asarray(said > 0.5, np.int64)


def row_sample_f1(y: Array, said: Array) -> Array:
    """Return (N,) F1 of each row's labels (N, L); 0 where there are none, said or true, as in scikit-learn."""
    answer = labels_of(said)
    total = y.sum(axis=1) + answer.sum(axis=1)
    return np.asarray(2.0 * (y * answer).sum(axis=1) / np.maximum(total, 1))


def _place(y: Array, said: Array) -> Array:
    """Return (N,) the place, from 1, of the true class among k answers or by probability; ties go to the first class.

    A class that is not among the answers has a place behind them all.
    """
    if said.dtype.kind in "iu":
        right = (said if said.ndim == 2 else said[:, None]) == y[:, None]
        return np.asarray(np.where(right.any(axis=1), right.argmax(axis=1) + 1, said.size + 1))
    true = said[np.arange(len(y)), y][:, None]
    before = (said == true) & (np.arange(said.shape[1]) < y[:, None])
    return np.asarray((said > true).sum(axis=1) + before.sum(axis=1) + 1)


def row_top(y: Array, said: Array, *, k: int) -> Array:
    """Return (N,) ones where the true class is among the k best."""
    return np.asarray(_place(y, said) <= k, np.float64)


def row_map(y: Array, said: Array, *, k: int) -> Array:
    """Return (N,) one over the place of the true class among the k best, else 0: MAP@k with one label a row."""
    place = _place(y, said)
    return np.where(place <= k, 1.0 / place, 0.0)


def all_weighted_nll(y: Array, proba: Array, *, weights: Any) -> tuple[float, Array]:
    """Log loss with a weight for each class, or for each of several labels, over the sum of the weights."""
    weights = np.asarray(weights, float)
    if y.ndim == 2:
        losses = -np.where(y == 1, _log(proba), _log(1.0 - proba)) @ weights / weights.sum()
        return float(losses.mean()), np.asarray(losses - losses.mean())
    of = weights[y] / max(float(weights[y].mean()), 1e-300)
    value = float((of * row_nll(y, proba)).mean())
    return value, np.asarray(of * (row_nll(y, proba) - value))


def answers_of(y: Array, said: Array) -> tuple[Array, Array]:
    """The truth, and what was said of it as answers: classes, labels or numbers."""
    if y.ndim == 2:
        return y, labels_of(said)
    return y, said if y.dtype.kind == "f" else classes_of(said)


def all_rmse(y: Array, said: Array) -> tuple[float, Array]:
    """Root of the mean squared error."""
    squares = (said - y) ** 2
    value = float(np.sqrt(squares.mean()))
    return value, (squares - squares.mean()) / max(2.0 * value, 1e-300)


def all_r2(y: Array, said: Array) -> tuple[float, Array]:
    """Share of the variance that is explained; 0 where there is none."""
    squares, spread = (said - y) ** 2, (y - y.mean()) ** 2
    if not spread.any():
        return 0.0, np.zeros(len(y))
    left = squares.mean() / spread.mean()
    return float(1.0 - left), (left * spread - squares) / spread.mean()
