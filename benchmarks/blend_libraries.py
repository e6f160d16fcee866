"""Generated libraries of members with out-of-fold rows and a fresh test, for the benchmarks of the blend.

Three kinds: labels drawn from the plain mean itself, labels drawn from a random convex pool, and Gaussian logits around
the labels with common and own noise, where members may be broken, copied, miscalibrated or biased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("mean", "convex", "gaussian")


@dataclass(frozen=True)
class Library:
    """(M, N, C) probabilities, (N,) labels and folds; the same for a fresh test without folds."""

    proba: NDArray
    y: NDArray
    fold: NDArray
    test_proba: NDArray
    test_y: NDArray


def softmax(z: NDArray) -> NDArray:
    """Return probabilities along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def draw(proba: NDArray, rng: np.random.Generator) -> NDArray:
    """Return one class per row of probabilities."""
    cumulated = proba.cumsum(axis=-1)
    chosen = (rng.random(len(proba))[:, None] * cumulated[:, -1:] > cumulated).sum(axis=-1)
    return np.minimum(chosen, proba.shape[1] - 1)


def generate(kind: str, seed: int, *, rows: tuple[int, int] = (50, 8000), fresh: int = 20_000) -> Library:
    """Return a library of 2 to 29 members, 2 to 10 classes and a log-uniform number of rows.

    Parameters
    ----------
    kind : one of `KINDS`
    seed : int
    rows : (low, high)
    fresh : int
        Rows of the test.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    members, classes = int(rng.integers(2, 30)), int(rng.integers(2, 11))
    n = round(np.exp(rng.uniform(*np.log(rows))))
    make = {"mean": _pooled, "convex": _pooled, "gaussian": _gaussian}[kind]
    proba, y = make(rng, members, n + fresh, classes, kind)
    fold = rng.permutation(np.arange(n) % 5)
    return Library(proba[:, :n], y[:n], fold, proba[:, n:], y[n:])


def _pooled(rng: np.random.Generator, members: int, rows: int, classes: int, kind: str) -> tuple[NDArray, NDArray]:
    signal = rng.normal(size=(rows, classes)) * rng.uniform(0.7, 3.0)
    noise, sharpness = rng.uniform(0.2, 1.5, size=members), rng.uniform(0.6, 1.6, size=members)
    proba = np.stack(
        [softmax((signal + s * rng.normal(size=signal.shape)) * b) for s, b in zip(noise, sharpness, strict=True)]
    )
    concentration = np.full(members, rng.choice([0.2, 0.5, 1.0]))
    weights = np.full(members, 1 / members) if kind == "mean" else rng.dirichlet(concentration)
    return proba, draw(np.tensordot(weights, proba, 1), rng)


def _gaussian(rng: np.random.Generator, members: int, rows: int, classes: int, kind: str) -> tuple[NDArray, NDArray]:
    prior = softmax(rng.normal(size=classes) * rng.uniform(0, 1))
    y = rng.choice(classes, p=prior, size=rows)
    separation = rng.uniform(1.2, 3.5)
    common = separation * np.eye(classes)[y] + rng.normal(size=(rows, classes))
    proba: list[NDArray] = []
    for _ in range(members):
        fault = rng.choice(["none", "none", "none", "broken", "copy", "miscalibrated", "biased"])
        own = np.exp(rng.uniform(np.log(0.3), np.log(1.5)))
        logits = (common + own * rng.normal(size=common.shape)) * separation / (1 + own**2) + np.log(prior)
        if fault == "copy" and proba:
            proba.append(proba[rng.integers(len(proba))].copy())
            continue
        if fault == "broken":
            logits = rng.normal(size=common.shape) * rng.uniform(0.5, 3.0)
        if fault == "miscalibrated":
            logits = logits * np.exp(0.6 * rng.normal())
        if fault == "biased":
            logits = logits + 0.8 * rng.normal(size=classes)
        proba.append(softmax(logits))
    return np.stack(proba), y
