"""How much of each candidate: averaging by evidence instead of picking a winner.

A hard choice costs most on the few data sets where it errs. The share of candidate k is
``E[prior_k exp(c L_k) / sum_l prior_l exp(c L_l)]`` where ``L`` are the candidates' out-of-fold log likelihoods and the
expectation is over their joint sampling error (pseudo-BMA+, Yao et al. 2018, with a normal for the bootstrap, which
does not depend on the order of the rows). Nine tenths of the prior belong to the plain mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from kit.blend.types import Array
from kit.runtime.pool import FLOOR

MEAN = "mean"
MEAN_PRIOR = 0.9
LEARNING_RATE = 0.5
DRAWS = 1000
NEGLIGIBLE = 0.01  # a part below this share is not worth carrying


def prior(names: Sequence[str]) -> Array:
    """Return the candidates' prior shares: `MEAN_PRIOR` on the mean, the rest even over families, even inside each.

    Parameters
    ----------
    names : sequence of str
        The family is what stands before the comma.
    """
    families = [name.split(",")[0] for name in names]
    others = len(set(families) - {MEAN})
    if others == 0:
        return np.full(len(names), 1.0 / len(names))
    shares = [MEAN_PRIOR if f == MEAN else (1 - MEAN_PRIOR) / others / families.count(f) for f in families]
    total: Array = np.array(shares) / np.sum(shares)
    return total


def evidence_shares(names: Sequence[str], likelihoods: Array, rng: np.random.Generator) -> Array:
    """Return (L,) shares on the simplex.

    Parameters
    ----------
    names : sequence of L str
    likelihoods : (L, N) array
        Log likelihood each candidate gave, out of fold, to the true class.
    rng : Generator
    """
    rows = likelihoods.shape[1]
    gains = likelihoods - likelihoods[list(names).index(MEAN)]
    covariance = np.atleast_2d(np.cov(gains)) * rows
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root: that of Cholesky or the bare eigenvectors would turn with rounding and the order of rows.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    totals = gains.sum(axis=1) + rng.standard_normal((DRAWS, len(names))) @ root
    shares = softmax(np.log(prior(names)) + LEARNING_RATE * totals, axis=1).mean(axis=0)
    shares[shares < NEGLIGIBLE] = 0.0
    result: Array = shares / shares.sum()
    return result


def shares(metric: str, names: Sequence[str], y: Array, proba: Array, seed: int) -> Array:
    """Return (L,) shares of the candidates.

    Parameters
    ----------
    metric : str
    names : sequence of L str
    y : (N,) class indices
    proba : (L, N, C) out-of-fold probabilities of the candidates
    seed : int
    """
    likelihoods = np.log(np.maximum(proba[:, np.arange(len(y)), y], FLOOR))
    return evidence_shares(names, likelihoods, np.random.default_rng(seed))
