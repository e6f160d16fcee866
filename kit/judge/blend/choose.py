"""How much of each candidate: averaging by evidence instead of picking a winner.

A hard choice costs most on the few data sets where it errs. The share of candidate k is
``E[prior_k exp(c L_k) / sum_l prior_l exp(c L_l)]`` where ``L`` are the candidates' out-of-fold log likelihoods and the
expectation is over their joint sampling error (pseudo-BMA+, Yao et al. 2018, with a normal for the bootstrap, which
does not depend on the order of the rows). Nine tenths of the prior belong to the plain mean.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import softmax

from kit.judge.metrics import Array
from kit.judge.units import sums
from kit.runtime.pool import FLOOR

MEAN = "mean"
MEAN_PRIOR = 0.9
LEARNING_RATE = 0.5
DRAWS = 1000
NEGLIGIBLE = 0.01  # a part below this share is not worth carrying


def prior(beliefs: Mapping[str, float]) -> Array:
    """Return the candidates' prior shares: ``MEAN_PRIOR`` for the plain mean, the rest over families, even inside each.

    The family of a name is what stands before the comma; ``beliefs`` give by name the prior of the family, relative to
    the others.
    """
    families = [name.split(",")[0] for name in beliefs]
    others = {family: belief for family, belief in zip(families, beliefs.values(), strict=True) if family != MEAN}
    scale = (1 - MEAN_PRIOR) / max(sum(others.values()), 1e-12)
    shares = [MEAN_PRIOR if f == MEAN else scale * others[f] / families.count(f) for f in families]
    return np.asarray(np.array(shares) / np.sum(shares))


def evidence_shares(
    beliefs: Mapping[str, float], likelihoods: Array, rng: np.random.Generator, unit: Array | None = None
) -> Array:
    """Return (L,) shares on the simplex from the log likelihoods (L, N) given, out of fold, to the true class."""
    gains = likelihoods - likelihoods[list(beliefs).index(MEAN)]
    departures = sums(gains - gains.mean(axis=1, keepdims=True), unit)
    units = departures.shape[1]
    covariance = departures @ departures.T * units / max(units - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root: that of Cholesky or the bare eigenvectors would turn with rounding and the order of rows.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    totals = gains.sum(axis=1) + rng.standard_normal((DRAWS, len(beliefs))) @ root
    shares = softmax(np.log(prior(beliefs)) + LEARNING_RATE * totals, axis=1).mean(axis=0)
    kept = np.where(shares < NEGLIGIBLE, 0.0, shares)
    return np.asarray(kept / kept.sum())


def shares(beliefs: Mapping[str, float], y: Array, proba: Array, seed: int, unit: Array | None = None) -> Array:
    """Return (L,) shares of the candidates from their out-of-fold probabilities (L, N, C) of rows in units (N,)."""
    likelihoods = np.log(np.maximum(proba[:, np.arange(len(y)), y], FLOOR))
    return evidence_shares(beliefs, likelihoods, np.random.default_rng(seed), unit)
