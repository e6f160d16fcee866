"""Metrics with a direction, and bootstrap errors of scores and of differences between scores.

Truth and what is said of it are those of `kit.judge.metrics`: a metric of labels is given probabilities, whose arg max
it takes, or answers that were decided otherwise. Bootstrapping the rows of a metric that sees them only through counts
is drawing counts from a multinomial, of a mean resampling row values, of a curve resampling its influence values (for
the AUC DeLong et al. 1988); none visits the predictions again. Rows are put in the order of their loss before any draw,
so that an interval does not depend on the order in which rows are listed. Rows that belong together are drawn together
(`kit.judge.units`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.config.competition import METRICS as MEASURES
from kit.config.own import check_width
from kit.errors import DataError
from kit.judge.metrics.counts import Counts, kinds, of_predictions
from kit.judge.metrics.rows import Array, row_nll
from kit.judge.metrics.table import METRICS, Metric, metric_of
from kit.judge.units import BLOCK, LEAST_SCORED, LEFT_OUT, mean_error, resampled_counts, resampled_means, sums, units_of
from kit.store.record import Figure

RESAMPLES, LEVEL = 2000, 0.95  # and the coverage aimed at
LEAST_FREEDOM = 4.0  # with fewer an interval is as wide as what can be


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
    if metric in MEASURES and metric not in METRICS:  # one that a competition defines
        METRICS[metric] = metric_of(metric, MEASURES[metric])
    if metric not in METRICS:
        raise DataError(f"unknown metric `{metric}`", f"use one of {', '.join(METRICS)}")
    return METRICS[metric]


def score(metric: str, y: Array, proba: Array) -> float:
    """Return the score of probabilities or answers, as `kit.judge.metrics` has them.

    Raises `DataError`: the metric is unknown, there are no rows, or a label is outside ``0 .. C - 1``.
    """
    return lookup(metric).function(*_checked(metric, y, proba))


def interval(
    metric: str, y: Array, proba: Array, *, seed: int, groups: Any = None, resamples: int = RESAMPLES
) -> Interval:
    """Return a score with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    Rows are drawn, or with ``groups`` (N,) whole groups: rows that are near copies of each other or of one patient. An
    empty group is that of no other row. Quantiles are those of Student's t (Hesterberg 2015), whose degrees of freedom
    (Satterthwaite 1946) are few where few rows make the error. Of a curve nothing is drawn: its interval is symmetric
    about the logit of the score between the bounds of the metric (Qin & Hotilovac 2008).
    """
    # Every command and every unit imports this module, few need an interval.
    from scipy.special import expit, logit, ndtr, ndtri, stdtrit

    y, unit, proba = _ordered(*_checked(metric, y, proba), groups=groups)
    chosen = lookup(metric)
    point, influence = _seen(chosen, y, proba, unit)
    centred = sums(influence - influence.mean(), unit)
    spread = float(np.sum(centred**2))
    error = float(np.sum(centred**4)) - spread**2 / len(centred)  # the variance of the spread
    freedom = max(2.0 * spread**2 / error, LEAST_FREEDOM) if error > 1e-9 * spread**2 else np.inf
    t = stdtrit(freedom, np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    if chosen.whole is not None and chosen.measure.needs_proba:
        lowest, highest = chosen.measure.bounds
        share, se = (point - lowest) / (highest - lowest), float(mean_error(influence, unit))
        slope = share * (1 - share) * (highest - lowest)
        low, high = lowest + (highest - lowest) * expit(logit(share) + t * se / slope) if slope > 0 else (point, point)
        return Interval(point, float(low), float(high), se)
    rng = np.random.default_rng(seed)
    if chosen.rows is not None or chosen.whole is not None:  # what each row is worth is known
        values = influence if chosen.whole is None else point + influence
        draws = resampled_means(values[None], unit, rng, resamples)[0]
    else:
        draws = _resample(chosen, y, [proba], unit, rng, resamples)[0]
    # The acceleration is a sixth of the skewness of the influence of what is drawn.
    acceleration = float(np.sum(centred**3) / (6.0 * spread**1.5)) if spread > 0 else 0.0
    below = np.mean(draws < point) + 0.5 * np.mean(draws == point)
    bias = float(ndtri(np.clip(below, 1e-3, 1 - 1e-3)))
    low, high = np.quantile(draws, ndtr(bias + (bias + t) / (1 - acceleration * (bias + t))))
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
    y = _checked(metric, y, probas[0])[0]
    y, unit, *ordered = _ordered(y, *(_checked(metric, y, proba)[1] for proba in (*probas, *others)), groups=groups)
    chosen, split = lookup(metric), len(probas)
    draws = _resample(chosen, y, ordered, unit, np.random.default_rng(seed), RESAMPLES)
    gain = draws[:split].mean(axis=0) - draws[split:].mean(axis=0)
    low, high = np.quantile(gain, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    points = [chosen.function(y, proba) for proba in ordered]
    point = float(np.mean(points[:split]) - np.mean(points[split:]))
    return Interval(point, float(low), float(high), float(gain.std(ddof=1)))


def row_values(metric: str, y: Array, said: Array) -> Array:
    """Return (N,) numbers whose mean is the score: of each row, or the score and what the row adds to it.

    Raises `DataError` as `score` does.
    """
    (y, said), chosen = _checked(metric, y, said), lookup(metric)
    value, influence = _seen(chosen, y, said)
    return np.asarray(value + influence - influence.mean())


def standard_errors(metric: str, y: Array, probas: Array, baseline: Array, groups: Any = None) -> Array:
    """Return (L,) standard errors of the scores of (L, N, C) less a baseline's (N, C), from the rows' influence."""
    return scores_and_errors(metric, y, probas, baseline, groups)[:, 1]


def scores_and_errors(metric: str, y: Array, probas: Array, baseline: Array, groups: Any = None) -> Array:
    """Return (L, 2) scores of (L, N, C) and standard errors of what they are less a baseline's (N, C)."""
    unit = units_of(groups, len(y))
    base = _seen(lookup(metric), y, baseline, unit)[1]
    found = (_seen(lookup(metric), y, proba, unit) for proba in probas)
    return np.array([(point, mean_error(influence - base, unit)) for point, influence in found])


def flattery(metric: str, y: Array, probas: Sequence[Array], *, seed: int, groups: Any = None) -> tuple[float, float]:
    """Return by how much the best of several scores flatters because it was chosen, and its own standard error.

    The scores (of an (N, C) array each) are taken for true values, as far apart as they are beyond their noise (James &
    Stein 1961), to which the joint noise of their influence is added (BBC-CV, Tsamardinos et al. 2018, does so with
    resampled rows): the mean noise of the one that looks best. Both are at least 0, whatever the metric's direction.
    """
    chosen, unit = lookup(metric), units_of(groups, len(y))
    points, influences = map(np.array, zip(*(_seen(chosen, y, proba, unit) for proba in probas), strict=True))
    scores = chosen.sign * points
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
    metric: Metric, y: Array, said: list[Array], unit: Array, rng: np.random.Generator, resamples: int
) -> Array:
    """Return the (P, B) scores of P predictions on B common resamples of the units."""
    if metric.rows is not None:
        return resampled_means(np.stack([metric.rows(y, p) for p in said]), unit, rng, resamples)
    if metric.counts is not None:
        first, cell = kinds(y, said)
        parts = of_predictions(y[first], [p[first] for p in said])
        draws = [
            [metric.counts(Counts.of((part.T @ times.T).T, y.ndim == 2)) for part in parts]
            for times in resampled_counts(cell, unit, rng, resamples, block=max(1, BLOCK // parts[0].shape[1]))
        ]
        return np.concatenate(draws, axis=1)
    if metric.whole is not None:
        values = np.stack([value + influence for value, influence in (metric.whole(y, p) for p in said)])
        return resampled_means(values, unit, rng, resamples)
    order, sizes = np.argsort(unit, kind="stable"), np.bincount(unit)
    of_unit, reduced = np.split(order, np.cumsum(sizes)[:-1]), [metric.reduce(y, p) for p in said]
    drawn_units = (rng.integers(len(of_unit), size=len(of_unit)) for _ in range(resamples // 4))
    picks = (np.concatenate([of_unit[unit] for unit in each]) for each in drawn_units)
    found = np.array([[_drawn(metric, truth[i], p[i]) for truth, p in reduced] for i in picks]).T
    scored = np.isfinite(found).all(axis=0)
    if scored.mean() < LEAST_SCORED:
        raise DataError(f"{metric.measure.source} has no score of {np.mean(~scored):.0%} of resamples of the rows")
    return np.asarray(found[:, scored])


def _drawn(metric: Metric, y: Array, said: Array) -> float:
    """The function of some of the rows; NaN where a user's has no score of them, as where a class is missing."""
    assert metric.drawn is not None
    try:
        return float(metric.drawn(y, said))
    except DataError:
        return np.nan


def _seen(metric: Metric, y: Array, said: Array, unit: Array | None = None) -> tuple[float, Array]:
    """Return the score, and (N,) what each row adds to it: by leaving it out where there is no formula; ECE: zeros.

    Units of a user's function are left out in at most `LEFT_OUT` blocks, and those of a block share its part evenly.
    """
    if metric.rows is not None:
        values = metric.rows(y, said)
        return float(values.mean()), values
    if metric.whole is not None:
        return metric.whole(y, said)
    if metric.measure.own is not None:
        added, whole = np.empty(len(y)), metric.function(y, said)
        unit = np.arange(len(y)) if unit is None else unit
        sizes = np.bincount(unit)
        for units in np.array_split(np.random.default_rng(0).permutation(len(sizes)), min(LEFT_OUT, len(sizes))):
            out = np.isin(unit, units)
            less = whole - _drawn(metric, *metric.reduce(y[~out], said[~out]))
            added[out] = less * (~out).sum() / len(units) ** 0.5 / sizes[unit[out]]
        return whole, np.nan_to_num(added)
    if metric.counts is None:
        return metric.function(y, said), np.zeros(len(y))
    first, cell = kinds(y, [said])
    parts, labels = of_predictions(y[first], [said[first]])[0], y.ndim == 2
    whole, lost = parts.T @ np.bincount(cell).astype(np.float64), np.empty(len(first))
    score = metric.counts(Counts.of(whole, labels))
    for block in np.array_split(np.arange(len(first)), -(-len(first) * parts.shape[1] // BLOCK)):
        without = metric.counts(Counts.of(whole - parts[block].toarray(), labels))
        lost[block] = (score - without) * (len(y) - 1)
    return float(score), lost[cell]


def _checked(metric: str, y: Array, said: Array) -> tuple[Array, Array]:
    y, said = np.asarray(y), np.asarray(said)
    of_classes, is_float = y.ndim == 1 and y.dtype.kind != "f", y.dtype.kind == "f"
    task = "classes" if of_classes or (y.ndim == 2 and is_float) else "numbers" if is_float else "multilabel"
    if task not in (tasks := lookup(metric).measure.tasks):
        raise DataError(f"metric `{metric}` is one of {' or '.join(tasks)}, but the labels are of {task}")
    if len(y) == 0 or said.ndim not in ((1, 2) if of_classes else (y.ndim,)) or len(said) != len(y):
        raise DataError(f"{len(y)} labels, but predictions have shape {said.shape}: expected (N, C) with N > 0")
    if said.ndim == 2 and said.dtype.kind == "f":
        check_width(metric, said.shape[1])
    if not of_classes or said.ndim == 1 or said.dtype.kind in "iu":
        return y, said
    outside = np.flatnonzero((y < 0) | (y >= said.shape[1]))
    if len(outside):
        raise DataError(f"row {outside[0]}: label {y[outside[0]]} is not one of the {said.shape[1]} classes")
    return y.astype(np.int64), said


def _ordered(y: Array, *said: Array, groups: Any) -> tuple[Array, ...]:
    """Labels, units and predictions, rows in the order of their loss and units in that of their first row."""
    unit = units_of(groups, len(y))
    losses = [_loss(y, p) for p in said[::-1]]
    order = np.lexsort([np.bincount(unit)[unit], np.bincount(unit, losses[-1])[unit], *losses])
    _, first, unit = np.unique(unit[order], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return (y[order], rank[unit], *(p[order] for p in said))


def _loss(y: Array, said: Array) -> Array:
    """Return (N,) a number by which rows are put in order: alike where they are."""
    if said.dtype.kind in "iu":
        return kinds(y, [said])[1].astype(np.float64)
    return row_nll(y, said) if said.ndim == 2 else said - y
