"""How models err together: those that say the same of a picture are right or wrong on it together."""

import numpy as np
from numpy.typing import NDArray

from kit.judge.metrics import Array

LEAST_SPREAD = 0.005  # standard deviation of a model on its own, so that no covariance is singular
SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the models' error covariance to one by what they say


def shared_luck(posterior: Array, predicted: NDArray[np.integer]) -> Array:
    """(M, M) covariance of being right, of models that say ``predicted`` (M, R), if labels follow ``posterior``."""
    size, rows = len(predicted), np.arange(len(posterior))
    share = posterior[rows, predicted]
    found = np.empty((size, size))
    for i in range(size):
        same = predicted == predicted[i]
        found[i] = (np.where(same, share[i], 0.0) - share[i] * share).mean(1)
    return found


def alike(luck: Array) -> Array:
    """(M, M) correlation of being right, of the covariance ``luck`` that `shared_luck` gives."""
    deviation = np.sqrt(np.maximum(np.diag(luck), LEAST_SPREAD**2))
    return np.asarray(luck / deviation / deviation[:, None], np.float64)


def covariance(errors: Array, before: Array, here: Array) -> Array:
    """(M, M) covariance of the errors on a test on which the models are `alike` as ``here`` (M, M) says.

    Second moments of ``errors`` (M, G) over families, shrunk to equal variances with those correlations: what makes a
    forecast wrong are labels other than it believes, and they make models right or wrong as luck does. The shrinkage is
    the one under which families left out are likeliest, ``before`` (G, M, M) being how alike the models are on each.
    """
    seen = errors.shape[1]
    if seen < 2:
        return np.asarray(_moments(errors) + LEAST_SPREAD**2 * np.eye(len(errors)), np.float64)
    likelihoods = []
    for share in SHRINKAGES:
        total = 0.0
        for left in range(seen):
            values, vectors = np.linalg.eigh(_shrunk(np.delete(errors, left, axis=1), before[left], share))
            total += float(-0.5 * (np.log(values).sum() + ((vectors.T @ errors[:, left]) ** 2 / values).sum()))
        likelihoods.append(total)
    return _shrunk(errors, here, SHRINKAGES[int(np.argmax(likelihoods))])


def _moments(errors: Array) -> Array:
    return np.asarray(errors @ errors.T / max(errors.shape[1], 1), np.float64)


def _shrunk(errors: Array, correlation: Array, share: float) -> Array:
    moments = _moments(errors)
    target = np.diag(moments).mean() * correlation
    return np.asarray((1 - share) * moments + share * target + LEAST_SPREAD**2 * np.eye(len(errors)), np.float64)
