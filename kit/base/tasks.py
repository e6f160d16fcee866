"""What is asked of an image: one class, several labels, shares of votes, or a number.

A stage asks its `Task` instead of telling tasks apart. The truth of N images with C classes is (N,) class indices,
(N, C) 0 or 1 for several labels, (N, C) shares of votes, or (N,) numbers, of which the classes are the centres of bins.
Everything becomes the one problem that the kit solves, rows of one class each: see `Task.flat`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray

Array = npt.NDArray[Any]

BINS = 32  # of a number
BLUR = 0.75  # standard deviation of a number's target in bins (Farebrother et al. 2024)
COPIES = 10  # rows that stand for one with shares of classes, unless fewer have just these shares
MOST_COPIES = 20


class Flat(NamedTuple):
    """Rows of one class each that stand for all images: of each its image ``row`` (K,) and its class ``y`` (K,)."""

    row: IntArray
    y: IntArray
    several: bool
    classes: tuple[str, ...]

    def spread(self, proba: Array) -> Array:
        """Probabilities (..., K, 2) of single labels, or (..., K, C) of copies, from those (..., N, C) of images."""
        if self.several:
            return np.stack([1 - proba, proba], axis=-1).reshape(*proba.shape[:-2], -1, 2)
        return proba if len(self.row) == proba.shape[-2] else proba[..., self.row, :]

    def logits(self, logits: Array) -> Array:
        """The same of logits, whose softmax along the last axis is `spread` of the probabilities."""
        if self.several:
            return np.stack([np.zeros_like(logits), logits], axis=-1).reshape(*logits.shape[:-2], -1, 2)
        return self.spread(logits)

    def gather(self, proba: Array) -> Array:
        """The inverse of `spread`."""
        images = int(self.row[-1]) + 1
        return proba[:, 1].reshape(images, -1) if self.several else proba[:: len(proba) // images]


@dataclass(frozen=True)
class Task:
    """A kind of truth.

    With ``several`` each class is a question of its own and the outputs of a network are sigmoids, else they are one
    softmax. ``kind`` is what metrics are told: `classes`, `multilabel`, `shares` or `numbers`.
    """

    name: str
    kind: str = "classes"

    @property
    def several(self) -> bool:
        return self.kind == "multilabel"

    def masses(self, truth: Array, classes: Sequence[str]) -> npt.NDArray[np.float32]:
        """What a loss weights log probabilities by: (N, C), or (N, 2C) for and against each of several labels."""
        if self.kind == "classes":
            return np.eye(len(classes), dtype=np.float32)[truth]
        if self.several:
            return np.concatenate([truth, 1 - truth], axis=1).astype(np.float32)
        return (truth if self.kind == "shares" else blurred(truth, np.array(classes, float))).astype(np.float32)

    def outcomes(self, classes: int) -> int:
        """Of how many outcomes each question has one."""
        return 2 if self.several else classes

    def width(self, classes: int) -> int:
        """Columns of `masses`."""
        return 2 * classes if self.several else classes

    def flat(self, truth: Array, classes: Sequence[str], copies: int = 0) -> Flat:
        """The images as rows of one class each, in the order of the images.

        Several labels are as many rows of the classes 0 and 1. Shares are copies of a row, each of one of its classes:
        the mean log loss of the copies is the cross entropy of the shares, rounded to ``copies`` or `COPIES` parts.
        """
        names, rows = tuple(classes), np.arange(len(truth))
        if self.kind == "classes":
            return Flat(rows, truth, False, names)
        if self.several:
            return Flat(np.repeat(rows, truth.shape[1]), truth.ravel().astype(np.int64), True, ("no", "yes"))
        shares = self.masses(truth, classes).astype(np.float64)
        copies = copies or _copies(shares)
        levels = (np.arange(copies) + 0.5) / copies
        y = (shares.cumsum(axis=1)[:, None] < levels[:, None] * shares.sum(axis=1)[:, None, None]).sum(axis=2)
        return Flat(np.repeat(rows, copies), y.ravel(), False, names)

    def strata(self, truth: Array, classes: Sequence[str]) -> IntArray:
        """(N,) what rows are told apart by where one class is wanted: of several labels the rarest, C for none."""
        if self.kind == "classes":
            return truth
        if not self.several:
            return np.asarray(self.masses(truth, classes).argmax(axis=1))
        rank = np.where(truth > 0, truth.sum(axis=0), np.inf)
        return np.where(truth.any(axis=1), rank.argmin(axis=1), len(classes)).astype(np.int64)

    def codes(self, truth: Array, labels: IntArray) -> IntArray:
        """(N,) numbers that are equal where rows say the same: of several labels the sets, else the ``labels``."""
        return np.unique(truth, axis=0, return_inverse=True)[1].ravel() if self.several else labels

    def texts(self, truth: Array) -> list[str]:
        """Each row as the text of a cell, for `of_texts`: labels by number, shares, or a number."""
        rows = truth[:, None] if truth.ndim == 1 else truth
        told = [np.flatnonzero(row) for row in rows] if self.several else rows
        return [" ".join(map(repr, row.tolist())) for row in told]

    def of_texts(self, texts: Sequence[str], classes: int) -> Array:
        """The inverse of `texts`."""
        if not self.several:
            found = np.array([list(map(float, text.split())) for text in texts])
            return found.reshape(len(texts)) if self.kind == "numbers" else found.reshape(len(texts), classes)
        truth = np.zeros((len(texts), classes), np.int64)
        for row, text in enumerate(texts):
            truth[row, [int(label) for label in text.split()]] = 1
        return truth


TASKS = {name: Task(name) for name in ("multiclass", "binary", "ordinal")} | {
    name: Task(name, kind) for name, kind in (("multilabel",) * 2, ("soft", "shares"), ("regression", "numbers"))
}
ONE_CLASS = TASKS["multiclass"]


def blurred(truth: Array, centres: Array, error: float = 0.0) -> Array:
    """(N, C) the mass of a normal around each number (N,) in each bin (C,): HL-Gauss (Imani & White 2018).

    The standard deviation is `BLUR` of the mean width of a bin, and an ``error``; the bins at both ends are open.
    """
    from scipy.special import ndtr  # every command imports this module, few tasks need it

    inner = (centres[1:] + centres[:-1]) / 2
    below = ndtr((inner - truth[:, None]) / np.hypot(BLUR * np.diff(centres).mean(), error))
    edges = np.ones((len(truth), 1))
    return np.diff(np.concatenate([0 * edges, below, edges], axis=1), axis=1)


def distributions(numbers: Array, centres: Array, error: float) -> Array:
    """(N, C) masses in bins as of `blurred`, whose means are the numbers (N,) as far as the bins reach."""
    far = 8 * (error + np.diff(centres).mean())
    tried = np.linspace(centres[0] - far, centres[-1] + far, 2000)
    return blurred(np.interp(numbers, blurred(tried, centres, error) @ centres, tried), centres, error)


def bins(numbers: Array) -> tuple[str, ...]:
    """The centres of `BINS` bins of equal width for numbers of this range, the first and the last at its ends."""
    return tuple(f"{centre:.9g}" for centre in np.linspace(numbers.min(), numbers.max(), BINS))


def _copies(shares: Array) -> int:
    """The fewest copies of a row, up to `MOST_COPIES`, whose classes have just its shares; else `COPIES`."""
    parts = shares / shares.sum(axis=1, keepdims=True)
    exact = (n for n in range(1, MOST_COPIES + 1) if np.abs(parts * n - np.rint(parts * n)).max() < 1e-4 * n)
    return next(exact, COPIES)
