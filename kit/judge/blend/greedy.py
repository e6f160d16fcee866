"""Greedy selection with replacement (Caruana et al. 2004)."""

from __future__ import annotations

import numpy as np

from kit.judge.metrics import Array

ROUNDS = 25


def greedy_weights(q: Array, rounds: int = ROUNDS) -> Array:
    """Return (M,) weights of the best prefix of a greedy selection by log loss from likelihoods (N, M).

    They are multiples of 1/k on the simplex, k the length of the best prefix; ties go to the first member.
    """
    counts, total = np.zeros(q.shape[1]), np.zeros(len(q))
    best, best_loss = counts, np.inf
    for size in range(1, rounds + 1):
        losses = -np.log((total[:, None] + q) / size).mean(axis=0)
        chosen = int(losses.argmin())
        counts = counts + np.eye(len(counts))[chosen]
        total = total + q[:, chosen]
        if losses[chosen] < best_loss:
            best, best_loss = counts / size, losses[chosen]
    return best
