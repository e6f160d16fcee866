"""Tables about a blend and its members, as plain arrays and rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kit.base.tasks import Task
from kit.judge.metrics import ECE_BINS, Array, confusion, ece_of
from kit.judge.metrics.rows import labels_of


class ClassRow(NamedTuple):
    """A class: its rows, how it fares, and the class it is most often taken for, if any."""

    name: str
    rows: int
    precision: float
    recall: float
    f1: float
    taken_for: str


CLASS_HEADER = ("class", "rows", "precision", "recall", "f1", "taken for")


@dataclass(frozen=True)
class Reliability:
    """Confidence, accuracy and count (B,) of the top class in bins of equal mass, and their mean distance."""

    confidence: Array
    accuracy: Array
    count: Array
    ece: float


def per_class(task: Task, truth: Array, said: Array, names: Sequence[str]) -> list[ClassRow]:
    """Return a row per class of answers out of fold, such as ``Blend.answers``, or of probabilities (N, C).

    Of several labels none is taken for another; a number is of the class whose bin it is in.
    """
    if task.several:
        said = labels_of(said)
        table = np.zeros((len(names), len(names)))
        counts = (truth * said).sum(axis=0), truth.sum(axis=0), said.sum(axis=0)
    else:
        said = task.strata(said, names) if said.ndim == 1 and said.dtype.kind == "f" else said
        table = confusion(task.strata(truth, names), said, len(names))
        counts = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    rows = []
    for c, (name, hits, true, predicted) in enumerate(zip(names, *counts, strict=True)):
        wrong = np.where(np.arange(len(names)) == c, 0.0, table[c])
        precision, recall, f1 = (float(hits / max(of, 1.0)) for of in (predicted, true, (true + predicted) / 2))
        taken_for = names[int(wrong.argmax())] if wrong.any() else ""
        rows.append(ClassRow(name, int(true), precision, recall, f1, taken_for))
    return rows


def reliability(y: Array, proba: Array) -> Reliability:
    """Return the reliability diagram of (N, C) probabilities as numbers."""
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == y
    parts = np.array_split(np.argsort(confidence, kind="stable"), min(ECE_BINS, len(y)))
    return Reliability(
        confidence=np.array([confidence[part].mean() for part in parts]),
        accuracy=np.array([right[part].mean() for part in parts]),
        count=np.array([len(part) for part in parts]),
        ece=ece_of(right, confidence),
    )


def correlation(proba: Array, y: Array) -> Array:
    """Return the (M, M) correlations of what members (M, N, C) gave to the true class; a constant one has none, 0."""
    given = np.asarray(proba, dtype=np.float64)[:, np.arange(len(y)), y]
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Array = np.nan_to_num(np.atleast_2d(np.corrcoef(given)))
    np.fill_diagonal(result, 1.0)
    return result


def disagreement(proba: Array) -> Array:
    """Return the (M, M) shares of rows on which two of the members (M, N, C) name different classes."""
    named = np.asarray(proba).argmax(axis=2)
    return np.array([[float(np.mean(a != b)) for b in named] for a in named])
