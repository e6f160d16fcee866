"""Metrics with a direction, and bootstrap errors of scores and of differences between scores.

Every metric takes ``y`` (N,) class indices and ``proba`` (N, C). Bootstrapping the rows of a metric that sees them only
through the confusion table is drawing tables from a multinomial, of a mean resampling row values, of the AUC
resampling its influence values (DeLong et al. 1988); none visits the predictions again. Rows are put in the order of
their loss before any draw, so that an interval does not depend on the order in which rows or classes are listed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from kit.config import competition
from kit.errors import DataError
from kit.judge import metrics
from kit.judge.metrics import Array, confusion, row_nll
from kit.store.record import Figure

RESAMPLES = 2000
LEVEL = 0.95  # coverage aimed at


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


def interval(metric: str, y: Array, proba: Array, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return a score with its bias-corrected and accelerated bootstrap interval over rows (Efron 1987)."""
    y, proba = _ordered(*_checked(y, proba))
    chosen = lookup(metric)
    point = chosen.function(y, proba)
    draws = _resample(chosen, y, [proba], np.random.default_rng(seed), resamples)[0]
    influence = _influence(chosen, y, proba)
    centred = influence - influence.mean()
    spread = float(np.sum(centred**2))
    # The acceleration is a sixth of the skewness of the rows' influence.
    acceleration = float(np.sum(centred**3) / (6.0 * spread**1.5)) if spread > 0 else 0.0
    below = np.mean(draws < point) + 0.5 * np.mean(draws == point)
    bias = float(ndtri(np.clip(below, 1e-3, 1 - 1e-3)))
    z = bias + ndtri(np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    low, high = np.quantile(draws, ndtr(bias + z / (1 - acceleration * z)))
    return Interval(point, float(min(low, point)), float(max(high, point)), float(draws.std(ddof=1)))


def difference(metric: str, y: Array, proba: Array, other: Array, *, seed: int) -> Interval:
    """Return ``score(proba) - score(other)`` on the same rows, with its paired bootstrap interval (percentiles)."""
    return contrast(metric, y, [proba], [other], seed=seed)


def contrast(metric: str, y: Array, probas: Sequence[Array], others: Sequence[Array], *, seed: int) -> Interval:
    """Return the mean score of several (N, C) predictions minus that of others, bootstrapped in pairs (percentiles).

    They are replicates: of one recipe under several seeds, for example.
    """
    y, *ordered = _ordered(_checked(y, probas[0])[0], *(_checked(y, proba)[1] for proba in (*probas, *others)))
    chosen, split = lookup(metric), len(probas)
    draws = _resample(chosen, y, ordered, np.random.default_rng(seed), RESAMPLES)
    gain = draws[:split].mean(axis=0) - draws[split:].mean(axis=0)
    low, high = np.quantile(gain, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    points = [chosen.function(y, proba) for proba in ordered]
    point = float(np.mean(points[:split]) - np.mean(points[split:]))
    return Interval(point, float(low), float(high), float(gain.std(ddof=1)))


def standard_errors(metric: str, y: Array, probas: Array, baseline: Array) -> Array:
    """Return (L,) standard errors of the scores of (L, N, C) less a baseline's (N, C), from the rows' influence."""
    base = _influence(lookup(metric), y, baseline)
    spreads = [(_influence(lookup(metric), y, proba) - base).std(ddof=1) for proba in probas]
    return np.asarray(np.array(spreads) / np.sqrt(len(y)))


def _resample(metric: Metric, y: Array, probas: list[Array], rng: np.random.Generator, resamples: int) -> Array:
    """Return the (P, B) scores of P sets of predictions on B common resamples of the rows."""
    if metric.rows is not None:
        return _resample_rows(np.stack([metric.rows(y, p) for p in probas]), rng, resamples)
    if metric.table is not None:
        classes, rows = probas[0].shape[1], len(y)
        cells = np.stack([y, *(p.argmax(axis=1) for p in probas)])
        (true, *predictions), counts = np.unique(cells, axis=1, return_counts=True)
        times = rng.multinomial(rows, counts / rows, size=resamples).astype(np.float64)
        places = [np.eye(classes * classes)[true * classes + predicted] for predicted in predictions]
        return np.stack([metric.table((times @ place).reshape(resamples, classes, classes)) for place in places])
    if metric.influence is not None:
        values = np.stack([metric.function(y, p) + metric.influence(y, p) for p in probas])
        return np.clip(_resample_rows(values, rng, resamples), 0.0, 1.0)
    picks = (rng.integers(len(y), size=len(y)) for _ in range(resamples // 4))
    return np.array([[metric.function(y[i], p[i]) for p in probas] for i in picks]).T


def _resample_rows(values: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Rows that agree in all values are drawn together where that is cheaper; blocks bound the memory."""
    distinct, counts = np.unique(values, axis=1, return_counts=True)
    rows, draws = values.shape[1], np.empty((len(values), resamples))
    few = 10 * len(counts) < rows
    block = max(1, 2_000_000 // (len(counts) if few else rows))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if few:
            draws[:, start : start + size] = distinct @ rng.multinomial(rows, counts / rows, size=size).T / rows
        else:
            picks = rng.integers(rows, size=(size, rows), dtype=np.int32)
            draws[:, start : start + size] = [row[picks].mean(axis=1) for row in values]
    return draws


def _influence(metric: Metric, y: Array, proba: Array) -> Array:
    """Return (N,) what each row adds to the score, by leaving it out where there is no formula; zeros for the ECE."""
    if metric.rows is not None:
        return metric.rows(y, proba)
    if metric.influence is not None:
        return metric.influence(y, proba)
    if metric.table is None:
        return np.zeros(len(y))
    counts, classes = confusion(y, proba), proba.shape[1]
    cells = np.flatnonzero(counts)
    without = counts[None] - np.eye(classes * classes)[cells].reshape(-1, classes, classes)
    lost = np.zeros(classes * classes)
    lost[cells] = (metric.table(counts[None]) - metric.table(without)) * (len(y) - 1)
    return np.asarray(lost[y * classes + proba.argmax(axis=1)])


def _checked(y: Array, proba: Array) -> tuple[Array, Array]:
    y, proba = np.asarray(y), np.asarray(proba)
    if len(y) == 0 or proba.ndim != 2 or len(proba) != len(y):
        raise DataError(f"{len(y)} labels, but predictions have shape {proba.shape}: expected (N, C) with N > 0")
    outside = np.flatnonzero((y < 0) | (y >= proba.shape[1]))
    if len(outside):
        raise DataError(f"row {outside[0]}: label {y[outside[0]]} is not one of the {proba.shape[1]} classes")
    return y.astype(np.int64), proba


def _ordered(y: Array, *probas: Array) -> tuple[Array, ...]:
    order = np.lexsort([row_nll(y, p) for p in probas[::-1]])
    return (y[order], *(p[order] for p in probas))
