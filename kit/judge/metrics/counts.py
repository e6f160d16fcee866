"""Metrics of decided answers that see rows through counts: ``count_NAME`` of `Counts`, of one set or of many at once.

Per class: how often it is true, how often said, and how often both; beside them how far the answers are off in all. It
takes no table of C x C cells, so that a bootstrap of a thousand classes is possible.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kit.judge.metrics.rows import Array, classes_of, labels_of


class Counts(NamedTuple):
    """Of sets of answers (...): rows (...), and true, said and hits (..., C); ``far`` (..., 2) is how far apart.

    That is the sum over rows of the distance of the answer from the truth in the order of the classes, and of its
    square. ``labels`` is whether any number of labels may hold, so that each has rows where it does not.
    """

    true: Array
    said: Array
    hits: Array
    far: Array
    rows: Array
    labels: bool = False

    @classmethod
    def of(cls, sums: Array, labels: bool) -> "Counts":
        """Counts from sums (..., 3 C + 3) over rows of `contributions`."""
        classes = (sums.shape[-1] - 3) // 3
        true, said, hits, rest = np.split(sums, [classes, 2 * classes, 3 * classes], axis=-1)
        return cls(true, said, hits, rest[..., :2], rest[..., 2], labels)


def contributions(y: Array, said: Array, classes: int) -> Any:
    """Return the sparse (N, 3 C + 3) matrix of what each row adds to the counts."""
    from scipy import sparse  # every command and every unit imports this module, few have use for it

    def hot(values: Array) -> Any:
        inside = np.flatnonzero((values >= 0) & (values < classes))  # an answer that is no class hits nothing
        return sparse.csr_array((np.ones(len(inside)), (inside, values[inside])), shape=(len(values), classes))

    if y.ndim == 2:
        true, answer = sparse.csr_array(y.astype(float)), sparse.csr_array(labels_of(said).astype(float))
        far = np.zeros((len(y), 2))
    else:
        answers = classes_of(said)
        true, answer = hot(y), hot(answers)
        far = np.abs(y - answers)[:, None] ** np.array([1.0, 2.0])
    rest = sparse.csr_array(np.column_stack([far, np.ones(len(y))]))
    return sparse.hstack([true, answer, true * answer, rest], format="csr")


def of_predictions(y: Array, said: Sequence[Array]) -> list[Any]:
    """Return the `contributions` of several predictions, of as many classes each."""
    classes = y.shape[1] if y.ndim == 2 else max(int(y.max()), *(int(classes_of(p).max()) for p in said), 1) + 1
    return [contributions(y, p, classes) for p in said]


def kinds(y: Array, said: Sequence[Array]) -> tuple[Array, Array]:
    """Rows that are alike in truth and answers: the first of each kind (K,), and the kind of each row (N,)."""
    answers = [labels_of(p) if y.ndim == 2 else classes_of(p) for p in said]
    columns = np.ascontiguousarray(np.column_stack([y, *answers]).astype(np.uint8 if y.ndim == 2 else ">u8"))
    whole = columns.view(np.dtype((np.void, columns.dtype.itemsize * columns.shape[1]))).ravel()
    _, first, kind = np.unique(whole, return_index=True, return_inverse=True)
    return first, kind


def confusion(y: Array, said: Array, classes: int | None = None) -> Array:
    """Return the (C, C) counts of true (first axis) and predicted class."""
    classes = classes or said.shape[1]
    flat = np.bincount(y * classes + classes_of(said), minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.float64)


def divide(a: Array, b: Array) -> Array:
    """Return ``a / b``, 0 where ``b`` is."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), b)
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)


def f_values(counts: Counts, beta: float = 1.0) -> Array:
    """Return (..., C) F-beta of each class, 0 where it is neither true nor said."""
    square = beta**2
    return divide((1.0 + square) * counts.hits, square * counts.true + counts.said)


def _mean(values: Array, present: Array) -> Array:
    return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))


def f_mean(counts: Counts, *, average: str = "macro", beta: float = 1.0) -> Array:
    """F-beta as the mean over the classes that occur, true or said, and of several labels over all.

    ``average`` is macro, weighted by how often a class is true, or micro: all cells (N, C) together.
    """
    if average == "micro":
        true, said, hits = (each.sum(axis=-1) for each in counts[:3])
        return divide((1.0 + beta**2) * hits, beta**2 * true + said)
    values = f_values(counts, beta)
    if average == "weighted":
        return divide((counts.true * values).sum(axis=-1), counts.true.sum(axis=-1))
    return _mean(values, (counts.true + counts.said > 0) | counts.labels)


def count_balanced_accuracy(counts: Counts) -> Array:
    """Mean recall of the classes that occur; of several labels that of holding and not holding, mean over both."""
    recall, present = divide(counts.hits, counts.true), counts.true > 0
    if not counts.labels:
        return _mean(recall, present)
    absent = counts.rows[..., None] - counts.true
    rejected = divide(absent - counts.said + counts.hits, absent)
    return np.asarray(np.where(present & (absent > 0), (recall + rejected) / 2, recall + rejected).mean(axis=-1))


def kappa(counts: Counts, *, power: int) -> Array:
    """Cohen's kappa with linear weights, the distance to the power 1, or quadratic ones; 0 if chance is never wrong."""
    rows, (first, second) = counts.rows[..., None], (np.cumsum(each, axis=-1) for each in (counts.true, counts.said))
    if power == 1:
        # The distance of two grades is the number of borders between them.
        chance = (first * (rows - second) + second * (rows - first)).sum(axis=-1) / counts.rows
    else:
        grade = np.arange(counts.true.shape[-1], dtype=np.float64)
        mixed = 2.0 * (counts.true @ grade) * (counts.said @ grade) / counts.rows
        chance = (counts.true + counts.said) @ grade**2 - mixed
    return np.where(chance > 1e-9 * counts.rows, 1.0 - divide(counts.far[..., power - 1], chance), 0.0)


def count_mcc(counts: Counts) -> Array:
    """Matthews' correlation (Gorodkin 2004), 0 where one class is all; of several labels the columns' mean."""
    rows = counts.rows[..., None]
    if counts.labels:
        top = rows * counts.hits - counts.true * counts.said
        below = counts.true * (rows - counts.true) * counts.said * (rows - counts.said)
        return np.asarray(divide(top, np.sqrt(below)).mean(axis=-1))
    top = counts.rows * counts.hits.sum(axis=-1) - (counts.true * counts.said).sum(axis=-1)
    spread = [counts.rows**2 - (each**2).sum(axis=-1) for each in (counts.true, counts.said)]
    return divide(top, np.sqrt(np.maximum(spread[0] * spread[1], 0.0)))
