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

from kit.judge import score
from kit.judge.blend.types import Array
from kit.runtime.pool import FLOOR

MEAN = "mean"
BY_EVIDENCE = ("nll", "brier", "ece")  # what the log likelihood serves best
MEAN_PRIOR = 0.9
# Nothing shrinks what picks members outright: the best of thirty on fifty rows is often an accident. Raising rare
# classes, tried only for metrics that count classes, is what theory asks for there.
RELATIVE_PRIOR = {"best single": 0.1, "greedy": 0.1, "prior-corrected": 10.0}
LEARNING_RATE = 0.5
DRAWS = 1000
NEGLIGIBLE = 0.01  # a part below this share is not worth carrying


def prior(names: Sequence[str], mean: float = MEAN_PRIOR) -> Array:
    """Return the candidates' prior shares: ``mean`` for the plain mean, the rest over families, even inside each.

    The family of a name is what stands before the comma.
    """
    families = [name.split(",")[0] for name in names]
    others = {family: RELATIVE_PRIOR.get(family, 1.0) for family in set(families) - {MEAN}}
    scale = (1 - mean) / max(sum(others.values()), 1e-12)
    shares = [mean if f == MEAN else scale * others[f] / families.count(f) for f in families]
    return np.asarray(np.array(shares) / np.sum(shares))


def evidence_shares(names: Sequence[str], likelihoods: Array, rng: np.random.Generator) -> Array:
    """Return (L,) shares on the simplex from the log likelihoods (L, N) given, out of fold, to the true class."""
    rows = likelihoods.shape[1]
    gains = likelihoods - likelihoods[list(names).index(MEAN)]
    covariance = np.atleast_2d(np.cov(gains)) * rows
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root: that of Cholesky or the bare eigenvectors would turn with rounding and the order of rows.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    totals = gains.sum(axis=1) + rng.standard_normal((DRAWS, len(names))) @ root
    shares = softmax(np.log(prior(names)) + LEARNING_RATE * totals, axis=1).mean(axis=0)
    return _without_negligible(shares)


def metric_shares(metric: str, names: Sequence[str], y: Array, proba: Array, base: Array) -> Array:
    """Return (L,) shares for a metric other than the log loss.

    The blend that evidence chose is the one to beat. A candidate whose paired gain on the metric is z standard errors
    counts ``exp(sign(z) z^2 / 2)``, the likelihood ratio of that gain to none; ``base`` (L,), the shares by evidence,
    have the prior that the mean has there. Probabilities are out of fold, (L, N, C).
    """
    chosen = score.lookup(metric)
    blended = np.tensordot(base, proba, 1)
    sign = 1.0 if chosen.greater_is_better else -1.0
    gains = sign * np.array([chosen.function(y, p) - chosen.function(y, blended) for p in proba])
    z = gains / np.maximum(score.standard_errors(metric, y, proba, blended), 1e-12)
    z[gains == 0] = 0.0
    before = np.log(np.append(prior(names, 1 / len(names)) * (1 - MEAN_PRIOR), MEAN_PRIOR))
    weights = softmax(before + np.append(np.sign(z) * z**2 / 2.0, 0.0))
    return _without_negligible(weights[:-1] + weights[-1] * base)


def _without_negligible(shares: Array) -> Array:
    kept: Array = np.where(shares < NEGLIGIBLE, 0.0, shares)
    kept /= kept.sum()
    return kept


def shares(metric: str, names: Sequence[str], y: Array, proba: Array, seed: int) -> Array:
    """Return (L,) shares of the candidates from their out-of-fold probabilities (L, N, C)."""
    likelihoods = np.log(np.maximum(proba[:, np.arange(len(y)), y], FLOOR))
    base = evidence_shares(names, likelihoods, np.random.default_rng(seed))
    return base if metric in BY_EVIDENCE else metric_shares(metric, names, y, proba, base)
