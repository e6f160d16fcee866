"""Metrics with a direction, and bootstrap errors of scores and of differences between scores.

Every metric takes ``y`` (N,) class indices and ``proba`` (N, C). Bootstrapping the rows of a metric that sees them only
through the confusion table is drawing tables from a multinomial, of a mean resampling row values, of the AUC
resampling its influence values (DeLong et al. 1988); none visits the predictions again. Rows are put in the order of
their loss before any draw, so that an interval does not depend on the order in which rows or classes are listed. Rows
that belong together are drawn together (`kit.judge.units`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.config import competition
from kit.errors import DataError
from kit.judge import metrics
from kit.judge.metrics import Array, confusion, row_nll
from kit.judge.units import BLOCK, incidence, mean_error, resampled_counts, resampled_means, sums, units_of
from kit.store.record import Figure

RESAMPLES = 2000
LEVEL = 0.95  # coverage aimed at
LEAST_FREEDOM = 4.0  # with fewer an interval is as wide as what can be


@dataclass(frozen=True)
class Metric:
    """A metric; ``needs_proba`` is False where only the arg max of a row matters.

    ``rows`` gives (N,) where it is the mean of row values, ``table`` ``(B, C, C) -> (B,)`` where it is a function of
    the confusion table, ``influence`` (N,) what each row adds where it is neither.
    """

    function: Callable[[Array, Array], float]
    greater_is_better: bool
    needs_proba: bool
    rows: Callable[[Array, Array], Array] | None = None
    table: Callable[[Array], Array] | None = None
    influence: Callable[[Array, Array], Array] | None = None

    @property
    def sign(self) -> float:
        """What a gain is multiplied by, so that more is better."""
        return 1.0 if self.greater_is_better else -1.0


def _metric(name: str, measure: competition.Measure) -> Metric:
    greater, proba = measure.greater_is_better, measure.needs_proba
    if measure.of == "rows":
        rows = getattr(metrics, f"row_{name}")
        return Metric(lambda y, p: float(rows(y, p).mean()), greater, proba, rows=rows)
    if measure.of == "table":
        table = getattr(metrics, f"table_{name}")
        return Metric(lambda y, p: float(table(confusion(y, p)[None])[0]), greater, proba, table=table)
    return Metric(getattr(metrics, name), greater, proba, influence=getattr(metrics, f"{name}_influence", None))


METRICS = {name: _metric(name, measure) for name, measure in competition.METRICS.items()}


@dataclass(frozen=True)
class Interval:
    """A score, its bootstrap interval and standard error."""

    score: float
    low: float
    high: float
    se: float

    @property
    def figure(self) -> Figure:
        """The score and its interval as records keep them."""
        return Figure(score=self.score, low=self.low, high=self.high)


def lookup(metric: str) -> Metric:
    """Return the metric of that name; raises `DataError` where there is none."""
    if metric not in METRICS:
        raise DataError(f"unknown metric `{metric}`", f"use one of {', '.join(METRICS)}")
    return METRICS[metric]


def score(metric: str, y: Array, proba: Array) -> float:
    """Return the score of (N, C) probabilities for (N,) class indices.

    Raises `DataError`: the metric is unknown, there are no rows, or a label is outside ``0 .. C - 1``.
    """
    y, proba = _checked(y, proba)
    return lookup(metric).function(y, proba)


def interval(
    metric: str, y: Array, proba: Array, *, seed: int, groups: Any = None, resamples: int = RESAMPLES
) -> Interval:
    """Return a score with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    Rows are drawn, or with ``groups`` (N,) whole groups: rows that are near copies of each other or of one patient. An
    empty group is that of no other row. Quantiles are those of Student's t (Hesterberg 2015), whose degrees of freedom
    (Satterthwaite 1946) are few where few rows make the error; the AUC, which ends at 1, is drawn as its logit
    (Qin & Hotilovac 2008).
    """
    from scipy.special import (
        expit,
        logit,
        ndtr,
        ndtri,
        stdtrit,
    )  # every command and every unit imports this module, few need an interval

    y, unit, proba = _ordered(*_checked(y, proba), groups=groups)
    chosen = lookup(metric)
    point = chosen.function(y, proba)
    draws = _resample(chosen, y, [proba], unit, np.random.default_rng(seed), resamples)[0]
    if chosen.influence is not None and 0 < point < 1:
        draws = expit(logit(point) + (draws - point) / (point * (1 - point)))
    influence = _influence(chosen, y, proba)
    centred = sums(influence - influence.mean(), unit)
    spread = float(np.sum(centred**2))
    # The acceleration is a sixth of the skewness of the influence of what is drawn.
    acceleration = float(np.sum(centred**3) / (6.0 * spread**1.5)) if spread > 0 else 0.0
    error = float(np.sum(centred**4)) - spread**2 / len(centred)  # the variance of the spread
    freedom = max(2.0 * spread**2 / error, LEAST_FREEDOM) if error > 1e-9 * spread**2 else np.inf
    below = np.mean(draws < point) + 0.5 * np.mean(draws == point)
    bias = float(ndtri(np.clip(below, 1e-3, 1 - 1e-3)))
    z = bias + stdtrit(freedom, np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    low, high = np.quantile(draws, ndtr(bias + z / (1 - acceleration * z)))
    return Interval(point, float(min(low, point)), float(max(high, point)), float(draws.std(ddof=1)))


def difference(metric: str, y: Array, proba: Array, other: Array, *, seed: int, groups: Any = None) -> Interval:
    """Return ``score(proba) - score(other)`` on the same rows, with its paired bootstrap interval (percentiles)."""
    return contrast(metric, y, [proba], [other], seed=seed, groups=groups)


def contrast(
    metric: str, y: Array, probas: Sequence[Array], others: Sequence[Array], *, seed: int, groups: Any = None
) -> Interval:
    """Return the mean score of several (N, C) predictions minus that of others, bootstrapped in pairs (percentiles).

    They are replicates: of one recipe under several seeds, for example. ``groups`` are those of `interval`.
    """
    y = _checked(y, probas[0])[0]
    y, unit, *ordered = _ordered(y, *(_checked(y, proba)[1] for proba in (*probas, *others)), groups=groups)
    chosen, split = lookup(metric), len(probas)
    draws = _resample(chosen, y, ordered, unit, np.random.default_rng(seed), RESAMPLES)
    gain = draws[:split].mean(axis=0) - draws[split:].mean(axis=0)
    low, high = np.quantile(gain, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    points = [chosen.function(y, proba) for proba in ordered]
    point = float(np.mean(points[:split]) - np.mean(points[split:]))
    return Interval(point, float(low), float(high), float(gain.std(ddof=1)))


def standard_errors(metric: str, y: Array, probas: Array, baseline: Array, groups: Any = None) -> Array:
    """Return (L,) standard errors of the scores of (L, N, C) less a baseline's (N, C), from the rows' influence."""
    unit, base = units_of(groups, len(y)), _influence(lookup(metric), y, baseline)
    return np.array([mean_error(_influence(lookup(metric), y, proba) - base, unit) for proba in probas])


def flattery(metric: str, y: Array, probas: Sequence[Array], *, seed: int, groups: Any = None) -> tuple[float, float]:
    """Return by how much the best of several scores flatters because it was chosen, and its own standard error.

    The scores (of an (N, C) array each) are taken for true values, as far apart as they are beyond their noise (James &
    Stein 1961), to which the joint noise of their influence is added (BBC-CV, Tsamardinos et al. 2018, does so with
    resampled rows): the mean noise of the one that looks best. Both are at least 0, whatever the metric's direction.
    """
    chosen, unit = lookup(metric), units_of(groups, len(y))
    scores = chosen.sign * np.array([chosen.function(y, proba) for proba in probas])
    influences = np.stack([_influence(chosen, y, proba) for proba in probas])
    noise = sums(influences - influences.mean(axis=1, keepdims=True), unit)
    covariance = noise @ noise.T / len(y) ** 2
    apart, among = float(scores.var(ddof=1)), float(np.trace(covariance) - covariance.mean() * len(scores))
    real = max(0.0, 1.0 - among / (len(scores) - 1) / apart) if apart > 0 else 0.0
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    errors = np.random.default_rng(seed).standard_normal((RESAMPLES, len(scores))) @ root
    best = (real * scores + errors).argmax(axis=1)
    gained, error = errors[np.arange(RESAMPLES), best].mean(), np.diag(covariance)[scores.argmax()] ** 0.5
    return max(0.0, float(gained)), float(error)


def _resample(
    metric: Metric, y: Array, probas: list[Array], unit: Array, rng: np.random.Generator, resamples: int
) -> Array:
    """Return the (P, B) scores of P sets of predictions on B common resamples of the units."""
    if metric.rows is not None:
        return resampled_means(np.stack([metric.rows(y, p) for p in probas]), unit, rng, resamples)
    if metric.table is not None:
        classes = probas[0].shape[1]
        cells = np.stack([y, *(p.argmax(axis=1) for p in probas)])
        (true, *predictions), cell = np.unique(cells, axis=1, return_inverse=True)
        places = [incidence(true * classes + p, np.arange(len(true)), (classes**2, len(true))) for p in predictions]
        draws = [
            [metric.table((place @ counts.T).T.reshape(-1, classes, classes)) for place in places]
            for counts in resampled_counts(cell.ravel(), unit, rng, resamples, block=max(1, BLOCK // classes**2))
        ]
        return np.concatenate(draws, axis=1)
    if metric.influence is not None:
        values = np.stack([metric.function(y, p) + metric.influence(y, p) for p in probas])
        return resampled_means(values, unit, rng, resamples)
    order, sizes = np.argsort(unit, kind="stable"), np.bincount(unit)
    rows = np.split(order, np.cumsum(sizes)[:-1])
    drawn = (rng.integers(len(rows), size=len(rows)) for _ in range(resamples // 4))
    picks = (np.concatenate([rows[unit] for unit in each]) for each in drawn)
    return np.array([[metric.function(y[i], p[i]) for p in probas] for i in picks]).T


def _influence(metric: Metric, y: Array, proba: Array) -> Array:
    """Return (N,) what each row adds to the score, by leaving it out where there is no formula; zeros for the ECE."""
    if metric.rows is not None:
        return metric.rows(y, proba)
    if metric.influence is not None:
        return metric.influence(y, proba)
    if metric.table is None:
        return np.zeros(len(y))
    counts, classes = confusion(y, proba), proba.shape[1]
    whole, lost = metric.table(counts[None]), np.zeros(classes * classes)
    cells = np.flatnonzero(counts)
    for block in np.array_split(cells, -(-len(cells) * classes**2 // BLOCK)):
        without = np.repeat(counts.reshape(1, -1), len(block), axis=0)
        without[np.arange(len(block)), block] -= 1.0
        lost[block] = (whole - metric.table(without.reshape(-1, classes, classes))) * (len(y) - 1)
    return np.asarray(lost[y * classes + proba.argmax(axis=1)])


def _checked(y: Array, proba: Array) -> tuple[Array, Array]:
    y, proba = np.asarray(y), np.asarray(proba)
    if len(y) == 0 or proba.ndim != 2 or len(proba) != len(y):
        raise DataError(f"{len(y)} labels, but predictions have shape {proba.shape}: expected (N, C) with N > 0")
    outside = np.flatnonzero((y < 0) | (y >= proba.shape[1]))
    if len(outside):
        raise DataError(f"row {outside[0]}: label {y[outside[0]]} is not one of the {proba.shape[1]} classes")
    return y.astype(np.int64), proba


def _ordered(y: Array, *probas: Array, groups: Any) -> tuple[Array, ...]:
    """Labels, units and predictions, rows in the order of their loss and units in that of their first row."""
    unit = units_of(groups, len(y))
    losses = [row_nll(y, proba) for proba in probas[::-1]]
    order = np.lexsort([np.bincount(unit)[unit], np.bincount(unit, losses[-1])[unit], *losses])
    _, first, unit = np.unique(unit[order], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return (y[order], rank[unit], *(proba[order] for proba in probas))
