"""Small libraries of members for the tests."""

from __future__ import annotations

import numpy as np


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def library(seed, *, members, rows, classes):
    """Return (M, N, C) probabilities of members with common and own noise, labels and five folds."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=rows)
    y[:classes] = np.arange(classes)
    common = 2.5 * np.eye(classes)[y] + rng.normal(size=(rows, classes))
    noise = rng.uniform(0.3, 1.5, size=members)
    proba = np.stack([softmax(common + s * rng.normal(size=(rows, classes))) for s in noise])
    fold = rng.permutation(np.arange(rows) % 5)
    return proba, y, fold
