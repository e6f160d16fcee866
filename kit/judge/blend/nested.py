"""Fits of everything (views, limits, all candidates): of all rows, without one and without two groups of them.

Together they give the choice and its honest score.

The fit without groups j and k serves twice: its predictions of k are inner cross-validation for outer group j, and
those of j for outer group k. So K groups need 1 + K + K (K - 1) / 2 fits of the candidates instead of 1 + K + K^2.

The choice is an average by evidence: a hard one costs most on the few data sets where it errs. The share of candidate
k is ``E[prior_k exp(c L_k) / sum_l prior_l exp(c L_l)]`` where ``L`` are the candidates' out-of-fold log likelihoods
and the expectation is over their joint sampling error (pseudo-BMA+, Yao et al. 2018, with a normal for the bootstrap,
which does not depend on the order of the rows). Nine tenths of the prior belong to the plain mean.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy.special import softmax

from kit.judge.blend.candidates import Candidate, Fitted, may_be_joint
from kit.judge.blend.convex import fit_views, view_likelihoods
from kit.judge.blend.result import Options
from kit.judge.blend.rows import Data, Rows
from kit.judge.blend.worth import keep_members, keep_within_time
from kit.judge.metrics import Array
from kit.judge.units import sums
from kit.runtime.pool import apply_part, blocks, log_proba, mix_views

GROUPS = 5
MEAN, MEAN_PRIOR = "mean", 0.9
LEARNING_RATE = 0.5
DRAWS = 1000
NEGLIGIBLE = 0.01  # a part below this share is not worth carrying


@dataclass(frozen=True)
class Fit:
    """View weights (V,), the members (k,) that the limits allow, and over these alone candidates and temperatures.

    ``warm`` are solutions by name, from which a fit on other rows starts.
    """

    views: Array
    kept: Array
    candidates: list[Fitted]
    temperatures: Array
    warm: Mapping[str, Any]


class Procedure:
    """Fits and predicts any subset of the rows of `Data`.

    Views are chosen by ``group`` (N,). Only rows that are ``used`` (N,) may be fitted on, the others are predicted.
    """

    def __init__(
        self, data: Data, group: Array, candidates: Mapping[str, Candidate], options: Options, used: Array
    ) -> None:
        self.proba, self.y, self.unit, self.group, self.used = data.proba, data.y, data.unit, group, used
        self.candidates, self.options = candidates, options
        self.view_likelihoods = view_likelihoods(data.proba, data.y)
        # Of the smallest nested fit, which lacks the two largest groups: every fit has the form of the blend it scores.
        units = sorted(len(np.unique(self.unit[group == k])) for k in np.unique(group))
        most = min(len(data.proba), options.max_members or len(data.proba))
        self.joint = may_be_joint(most, len(data.classes), sum(units[:-2]))
        self.precision = np.float32 if data.large else np.float64
        self._logs: Array | None = None  # of all rows, where views cannot change them
        if len(data.views) == 1:
            self._logs = self.logs(np.ones(1), np.ones(len(self.y), dtype=bool))

    def fit(self, rows: Array, neighbour: Fit | None = None) -> Fit:
        """Fit on the rows of a mask that may be used, starting from the solutions of a fit on most of them."""
        rows = rows & self.used
        views = fit_views(self.view_likelihoods[rows], self.group[rows], self.options.max_views, self.unit[rows])
        logs = self.logs(views, rows)
        views = keep_within_time(views, self.options)
        kept = keep_members(Rows(logs, self.y[rows]).likelihoods, int((views > 0).sum()), self.options)
        # Limits may keep another number of members here, for which the neighbour's solutions are no start.
        warm = dict(neighbour.warm) if neighbour is not None and len(neighbour.kept) == len(kept) else {}
        used = Rows(logs if len(kept) == len(logs) else logs[kept], self.y[rows], warm, self.joint)
        fitted = [candidate.fit(used) for candidate in self.candidates.values()]
        return Fit(views, kept, fitted, used.temperatures, warm if neighbour is None else {})

    def logs(self, views: Array, rows: Array) -> Array:
        """Return (M, n, C) log probabilities of the members under view weights."""
        if self._logs is not None:
            # An index of a mask would put rows first in memory.
            return self._logs if rows.all() else self._logs.compress(rows, axis=1)
        out = np.empty((len(self.proba), int(rows.sum()), self.proba.shape[3]), self.precision)
        for member, logs in zip(self.proba, out, strict=True):
            logs[:] = log_proba(mix_views(views, member[None, :, rows]))[0]
        return out

    def predict(self, fit: Fit, rows: Array) -> Array:
        """Return (L, n, C) probabilities of the candidates for the rows of a mask."""
        places, (members, _, _, classes) = np.flatnonzero(rows), self.proba.shape
        out = np.empty((len(fit.candidates), len(places), classes), self.precision)
        for block in blocks(len(places), members * classes):
            mask = np.zeros(len(rows), dtype=bool)
            mask[places[block]] = True
            logs = self.logs(fit.views, mask)[fit.kept]
            proba = np.exp(logs)
            seen = {(m, 1.0): member for m, member in enumerate(proba)}
            for k, candidate in enumerate(fit.candidates):
                out[k, block] = apply_part(candidate.part, proba, logs, seen)
        return out


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


def shares(beliefs: Mapping[str, float], likelihoods: Array, seed: int, unit: Array | None = None) -> Array:
    """Return (L,) shares on the simplex from the log likelihoods (L, N) given, out of fold, to the true class.

    ``beliefs`` are those of `prior`; rows are in units (N,).
    """
    gains = likelihoods - likelihoods[list(beliefs).index(MEAN)]
    departures = sums(gains - gains.mean(axis=1, keepdims=True), unit)
    units = departures.shape[1]
    covariance = departures @ departures.T * units / max(units - 1, 1)
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root: that of Cholesky or the bare eigenvectors would turn with rounding and the order of rows.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    noise = np.random.default_rng(seed).standard_normal((DRAWS, len(beliefs)))
    totals = gains.sum(axis=1) + noise @ root
    means = softmax(np.log(prior(beliefs)) + LEARNING_RATE * totals, axis=1).mean(axis=0)
    kept = np.where(means < NEGLIGIBLE, 0.0, means)
    return np.asarray(kept / kept.sum())
