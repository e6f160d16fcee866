"""Fits without one and without two groups of rows; together they give the choice and its honest score.

The fit without groups j and k serves twice: its predictions of k are inner cross-validation for outer group j, and
those of j for outer group k. So K groups need 1 + K + K (K - 1) / 2 fits of the candidates instead of 1 + K + K^2.

The choice is an average by evidence: a hard one costs most on the few data sets where it errs. The share of candidate
k is ``E[prior_k exp(c L_k) / sum_l prior_l exp(c L_l)]`` where ``L`` are the candidates' out-of-fold log likelihoods
and the expectation is over their joint sampling error (pseudo-BMA+, Yao et al. 2018, with a normal for the bootstrap,
which does not depend on the order of the rows). Nine tenths of the prior belong to the plain mean.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations_with_replacement
from typing import TypeVar

import numpy as np
from scipy.special import softmax

from kit.judge.metrics import Array
from kit.judge.units import sums
from kit.runtime.pool import FLOOR

GROUPS = 5
LEAST = 3  # two are left out at a time, and a fit needs rows
MEAN = "mean"
MEAN_PRIOR = 0.9
LEARNING_RATE = 0.5
DRAWS = 1000
NEGLIGIBLE = 0.01  # a part below this share is not worth carrying

Fit = TypeVar("Fit")


def fold_groups(fold: Array, y: Array, names: Iterable[object], unit: Array | None = None) -> Array:
    """Return (N,) group numbers, 0 to K - 1 with 3 <= K <= 5 where the rows allow it.

    A nested fit costs a fit per pair of groups, so many folds are joined; a fold is never split, because only folds
    keep related rows together. Predictions that come from one or two folds only (a hold-out set) are dealt out class
    by class instead, in an order by hashes of the ``names`` of the rows: it depends neither on the order of the rows
    nor on what is predicted, which a file in another precision gives a little differently. The rows of a ``unit`` (N,)
    stay together, where the first of them stands.
    """
    sizes = np.bincount(fold)
    if len(sizes) < 3:
        keys = [hashlib.sha256(str(name).encode()).digest() for name in names]
        first: dict[int, bytes] = {}
        for label, key in zip(y.tolist(), keys, strict=True):
            first[label] = min(key, first.get(label, key))
        order = sorted(range(len(y)), key=lambda row: (first[int(y[row])], keys[row]))
        units, place = list(range(len(y))) if unit is None else unit.tolist(), dict[int, int]()
        for row in order:
            place.setdefault(units[row], len(place))
        return np.unique([place[one] % GROUPS for one in units], return_inverse=True)[1]
    totals, group = np.zeros(min(GROUPS, len(sizes))), np.empty(len(sizes), dtype=np.int64)
    for k in np.argsort(-sizes, kind="stable"):
        group[k] = totals.argmin()
        totals[group[k]] += sizes[k]
    return group[fold]


def cross(group: Array, fit: Callable[[Array], Fit]) -> dict[tuple[int, int], Fit]:
    """Return the fits without groups (N,) j and k, by both orders of the pair, and without j alone: j and j."""
    fits = {}
    for j, k in combinations_with_replacement(range(int(group.max()) + 1), 2):
        fits[j, k] = fits[k, j] = fit((group != j) & (group != k))
    return fits


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
