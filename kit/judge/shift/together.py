"""How models err together: those that say the same of a picture are right or wrong on it together."""

import numpy as np

from kit.judge.metrics import Array

LEAST_SPREAD = 0.005  # standard deviation of a model on its own, so that no covariance is singular
CORRUPTIONS = 2  # as many, equally frequent, make errors as wide as those on a test
LEAST_LUCK = 0.01  # of the mean variance of luck: a model without any is like none
SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the models' error covariance to one by what they say


def shared_luck(values: Array) -> Array:
    """(M, M) covariance of the values of a row (D, M, R), if labels are those of the D draws."""
    centred = values - values.mean(0)
    return np.asarray(np.einsum("dmr,dnr->mn", centred, centred) / (len(values) * values.shape[2]), np.float64)


def alike(luck: Array) -> Array:
    """(M, M) correlation of the values, of the covariance ``luck`` that `shared_luck` gives."""
    deviation = np.sqrt(np.maximum(np.diag(luck), max(LEAST_LUCK * np.diag(luck).mean(), 1e-12)))
    return np.asarray(luck / deviation / deviation[:, None], np.float64)


def covariance(errors: Array, lucks: Array, here: Array) -> Array:
    """(M, M) covariance of the errors on a test on which the models are `alike` as ``here`` (M, M) says.

    Second moments of ``errors`` (M, G) over families, shrunk to equal variances with those correlations: what makes a
    forecast wrong are labels other than it believes, and they make models right or wrong as luck does. The shrinkage is
    the one under which families left out are likeliest. ``lucks`` (G, M, M) is `shared_luck` on a family over the
    number of its rows: how far errors are from those on any number of rows, which is no error of the forecast.
    """
    seen, own = errors.shape[1], LEAST_SPREAD**2 * np.eye(len(errors))
    if seen < 2:
        return np.asarray(errors @ errors.T + own, np.float64)
    likelihoods = []
    for share in SHRINKAGES:
        total = 0.0
        for left in range(seen):
            others = np.arange(seen) != left
            found = _shrunk(_moments(errors[:, others], lucks[others]), alike(lucks[left]), share)
            values, vectors = np.linalg.eigh(found + lucks[left] + own)
            total += float(-0.5 * (np.log(values).sum() + ((vectors.T @ errors[:, left]) ** 2 / values).sum()))
        likelihoods.append(total)
    # A test holds several corruptions, whose errors partly cancel out, but for what all of them have in common.
    common = errors.mean(1)
    mixed = (_moments(errors, lucks) + (CORRUPTIONS - 1) * np.outer(common, common)) / CORRUPTIONS
    return _shrunk(mixed, here, SHRINKAGES[int(np.argmax(likelihoods))]) + own


def _moments(errors: Array, lucks: Array) -> Array:
    """Second moments without those of luck; what luck leaves of no direction is negative."""
    values, vectors = np.linalg.eigh(errors @ errors.T / errors.shape[1] - lucks.mean(0))
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T, np.float64)


def _shrunk(moments: Array, correlation: Array, share: float) -> Array:
    return np.asarray((1 - share) * moments + share * np.diag(moments).mean() * correlation, np.float64)
