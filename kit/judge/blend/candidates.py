"""The candidates: functions from rows to one part of a blend, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kit.judge.blend.convex import convex_weights
from kit.judge.blend.greedy import greedy_weights
from kit.judge.blend.logit import LogitPool, fit_logit_pool
from kit.judge.blend.rows import Rows
from kit.judge.blend.temperature import fit_temperature
from kit.judge.blend.types import Array
from kit.runtime.pool import FLOOR, Part

# A slope multiplies log probabilities, a few nats in size; a bias is added as it is.
BIAS_SCALE = 3.0
RANK_LEVELS = 201
SINGLE = ("mean", "temperature-mean-temperature", "centred, scale 0.3")


@dataclass(frozen=True)
class Fitted:
    """A part, the duality gap of its convex weights and the bound of its log-linear coefficients, 0 without them."""

    part: Part
    gap: float = 0.0
    bound: float = 0.0


def linear_part(rows: Rows, weights: Array, *, temperatures: Array | None = None, final: float = 1.0) -> Part:
    """Return the part of a linear pool between two temperatures."""
    ones = np.ones(rows.members) if temperatures is None else temperatures
    return {
        "temperatures": ones.tolist(),
        "weights": weights.tolist(),
        "centre": 1.0 / final,
        "slopes": [0.0] * rows.members,
        "bias": [0.0] * rows.classes,
    }


def uniform(rows: Rows) -> Array:
    """Return (M,) equal weights."""
    return np.full(rows.members, 1.0 / rows.members)


def mean(rows: Rows) -> Fitted:
    """Plain mean."""
    return Fitted(linear_part(rows, uniform(rows)))


def calibrated_mean(rows: Rows) -> Fitted:
    """Temperature each, mean, temperature (Rahaman & Thiery 2021)."""
    return _finish(rows, "mean", uniform(rows))


def mean_temperature(rows: Rows) -> Fitted:
    """Plain mean, then a temperature: the arg max of the plain mean stays."""
    mixed = np.log(np.maximum(rows.proba.mean(axis=0), FLOOR))
    start = float(rows.warm.get("mean temperature", np.ones(1))[0])
    final = fit_temperature(mixed, rows.y, start=start)
    rows.warm["mean temperature"] = np.array([final])
    return Fitted(linear_part(rows, uniform(rows), final=final))


def best_single(rows: Rows) -> Fitted:
    """The member with the lowest log loss after its temperature."""
    best = int(np.log(rows.tempered_likelihoods).sum(axis=0).argmax())
    return Fitted(linear_part(rows, np.eye(rows.members)[best], temperatures=rows.temperatures))


def greedy(rows: Rows) -> Fitted:
    """Greedy selection with replacement of tempered members, then a temperature."""
    return _finish(rows, "greedy", greedy_weights(rows.tempered_likelihoods))


def convex(rows: Rows, *, pseudo_rows: float) -> Fitted:
    """Convex weights of the members as they are, shrunk towards equal ones."""
    key = f"convex {pseudo_rows}"
    fitted = convex_weights(rows.likelihoods, pseudo_rows=pseudo_rows * rows.members, start=rows.warm.get(key))
    rows.warm[key] = fitted.weights
    return Fitted(linear_part(rows, fitted.weights), gap=fitted.gap)


def calibrated_convex(rows: Rows, *, pseudo_rows: float) -> Fitted:
    """Temperature each, shrunk convex weights, temperature."""
    key = f"calibrated convex {pseudo_rows}"
    q, start = rows.tempered_likelihoods, rows.warm.get(key)
    fitted = convex_weights(q, pseudo_rows=pseudo_rows * rows.members, start=start)
    rows.warm[key] = fitted.weights
    return Fitted(_finish(rows, key, fitted.weights).part, gap=fitted.gap)


def log_linear(rows: Rows, *, scale: float) -> Fitted:
    """Log-linear pool with class bias, shrunk towards the geometric mean of the tempered members."""
    equal = uniform(rows)
    offset = np.tensordot(equal, rows.tempered_logs, 1)
    pool = _fit_ridge(rows, f"log-linear {scale}", rows.tempered_logs, offset, scale)
    part = linear_part(rows, equal, temperatures=rows.temperatures)
    part |= {"centre": 0.0, "slopes": (equal + pool.slopes).tolist(), "bias": pool.bias.tolist()}
    return Fitted(part, bound=pool.bound)


def centred(rows: Rows, *, scale: float) -> Fitted:
    """Pool centred on the mean of the tempered members, with a ridge on every departure from it."""
    features = np.concatenate([rows.tempered_mean[None], rows.tempered_logs])
    pool = _fit_ridge(rows, f"centred {scale}", features, rows.tempered_mean, scale)
    part = linear_part(rows, uniform(rows), temperatures=rows.temperatures)
    part |= {"centre": 1.0 + pool.slopes[0], "slopes": pool.slopes[1:].tolist(), "bias": pool.bias.tolist()}
    return Fitted(part, bound=pool.bound)


def prior_corrected(rows: Rows, *, power: float) -> Fitted:
    """Centred pool, rare classes raised by a power of the inverse of their share, for metrics that count classes."""
    pool = centred(rows, scale=0.1)
    shares = (np.bincount(rows.y, minlength=rows.classes) + 1.0) / (len(rows.y) + rows.classes)
    bias = np.array(pool.part["bias"]) - power * np.log(shares)
    return Fitted(pool.part | {"bias": bias.tolist()}, bound=pool.bound)


def _fit_ridge(rows: Rows, key: str, features: Array, offset: Array, scale: float) -> LogitPool:
    scales = np.concatenate([np.full(len(features), scale), np.full(rows.classes, BIAS_SCALE * scale)])
    pool = fit_logit_pool(features, offset, rows.y, scales**-2.0, rows.warm.get(key))
    rows.warm[key] = pool.theta
    return pool


def rank_average(rows: Rows) -> Fitted:
    """Mean of the members' ranks among the fitted rows, class by class: for metrics that see order only."""
    levels = np.linspace(0.0, 1.0, RANK_LEVELS)
    tables = np.quantile(rows.proba, levels, axis=1).transpose(1, 2, 0)
    return Fitted(linear_part(rows, uniform(rows)) | {"ranks": tables.tolist()})


def _finish(rows: Rows, key: str, weights: Array) -> Fitted:
    mixed = np.log(np.maximum(np.tensordot(weights, rows.tempered, 1), FLOOR))
    start = float(rows.warm.get("final " + key, np.ones(1))[0])
    final = fit_temperature(mixed, rows.y, start=start)
    rows.warm["final " + key] = np.array([final])
    return Fitted(linear_part(rows, weights, temperatures=rows.temperatures, final=final))


Candidates = dict[str, Callable[[Rows], Fitted]]

CANDIDATES: Candidates = {
    "mean": mean,
    "mean-temperature": mean_temperature,
    "temperature-mean-temperature": calibrated_mean,
    "best single": best_single,
    "greedy": greedy,
    "convex, prior 1": partial(convex, pseudo_rows=1.0),
    "convex, prior 10": partial(convex, pseudo_rows=10.0),
    "calibrated convex, prior 1": partial(calibrated_convex, pseudo_rows=1.0),
    "calibrated convex, prior 10": partial(calibrated_convex, pseudo_rows=10.0),
    "log-linear, scale 0.1": partial(log_linear, scale=0.1),
    "log-linear, scale 1": partial(log_linear, scale=1.0),
    "centred, scale 0.03": partial(centred, scale=0.03),
    "centred, scale 0.1": partial(centred, scale=0.1),
    "centred, scale 0.3": partial(centred, scale=0.3),
    "centred, scale 1": partial(centred, scale=1.0),
}


EXTRA: dict[str, Candidates] = {
    "auc": {"rank average": rank_average},
    "balanced_accuracy": {
        "prior-corrected, half": partial(prior_corrected, power=0.5),
        "prior-corrected, full": partial(prior_corrected, power=1.0),
    },
    "macro_f1": {"prior-corrected, half": partial(prior_corrected, power=0.5)},
}


def candidates(metric: str, members: int) -> Candidates:
    """Return the candidates for a metric: one member leaves nothing to weight, ranks serve the AUC alone."""
    usual = CANDIDATES if members > 1 else {name: CANDIDATES[name] for name in SINGLE}
    return usual | EXTRA.get(metric, {})
