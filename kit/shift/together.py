"""How models err together: those that say the same of nearly every picture are wrong, and lucky, together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.shift.signals import pairwise_agreement

Array = NDArray[np.float64]

LEAST_SPREAD = 0.005  # standard deviation of a model on its own, so that no covariance is singular
SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the models' error covariance to one by their disagreement


def shared_luck(posterior: Array, predicted: NDArray[np.integer]) -> Array:
    """(M, M) covariance of being right, of models that say ``predicted`` (M, R), if labels follow ``posterior``."""
    size, rows = len(predicted), np.arange(len(posterior))
    share = posterior[rows, predicted]
    found = np.empty((size, size))
    for i in range(size):
        same = predicted == predicted[i]
        found[i] = (np.where(same, share[i], 0.0) - share[i] * share).mean(1)
    return found


def disagreement(proba: NDArray[np.floating]) -> Array:
    """(M, M) share of rows on which two models predict different classes; ``proba`` (M, R, C)."""
    return 1 - pairwise_agreement(proba.argmax(2))


def covariance(errors: Array, apart: Array, here: Array) -> Array:
    """(M, M) covariance of the errors on a test on which the models disagree as ``here`` (M, M) says.

    Second moments of ``errors`` (M, G) over families, shrunk to equal variances with correlations that fall with the
    disagreement as ``exp(-rate * disagreement)``, the rate that fits ``apart`` (G, M, M): models that say the same of
    nearly every picture are wrong together. The shrinkage is the one under which families left out are likeliest.
    """
    seen = errors.shape[1]
    if seen < 2:
        return np.asarray(_moments(errors) + LEAST_SPREAD**2 * np.eye(len(errors)), np.float64)
    rate = _rate(errors, apart)
    likelihoods = []
    for share in SHRINKAGES:
        total = 0.0
        for left in range(seen):
            rest = np.arange(seen) != left
            total += _likelihood(errors[:, left], _shrunk(errors[:, rest], apart[left], rate, share))
        likelihoods.append(total)
    return _shrunk(errors, here, rate, SHRINKAGES[int(np.argmax(likelihoods))])


def _moments(errors: Array) -> Array:
    return np.asarray(errors @ errors.T / max(errors.shape[1], 1), np.float64)


def _rate(errors: Array, apart: Array) -> float:
    variance = float((errors**2).mean())
    squares = ((errors.T[:, :, None] - errors.T[:, None, :]) ** 2).mean()
    share = np.clip(squares / max(2 * variance, 1e-12), 0.0, 0.95)
    return float(-np.log(1 - share) / max(float(apart.mean()), 1e-6))


def _shrunk(errors: Array, apart: Array, rate: float, share: float) -> Array:
    moments = _moments(errors)
    target = np.diag(moments).mean() * np.exp(-rate * apart)
    return np.asarray((1 - share) * moments + share * target + LEAST_SPREAD**2 * np.eye(len(errors)), np.float64)


def _likelihood(errors: Array, found: Array) -> float:
    values, vectors = np.linalg.eigh(found)
    return float(-0.5 * (np.log(values).sum() + ((vectors.T @ errors) ** 2 / values).sum()))
