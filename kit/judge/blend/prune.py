"""Limits on members, time and size: drop what costs least until the rest fits."""

from __future__ import annotations

import numpy as np

from kit.errors import DataError
from kit.judge.blend.convex import convex_weights
from kit.judge.blend.options import Options
from kit.judge.blend.types import Array

SLACK = 1e-9
RAISE = "raise max_seconds_per_1000 and max_bundle_mb of [ensemble], or max_seconds and max_mb of [bundle]"


def keep_members(q: Array, views: int, options: Options) -> Array:
    """Return the sorted indices of the members that the limits allow.

    Members that break a limit alone leave first, the others one by one: the one whose loss of log likelihood in the
    convex pool is least, per unit of what is over the limit; the weights of the others are fitted again after each.
    ``q`` (N, M) are likelihoods of the true class, ``views`` is how many each member predicts.
    """
    costs = _costs(q.shape[1], views, options)
    alone = np.all([np.ones(q.shape[1], dtype=bool), *(cost <= limit + SLACK for cost, limit in costs)], axis=0)
    kept = np.flatnonzero(alone)
    if len(kept) == 0:
        raise DataError(f"the limits leave no member: {_too_costly(q.shape[1], views, options)}", RAISE)
    while any(cost[kept].sum() > limit + SLACK for cost, limit in costs):
        weights = convex_weights(q[:, kept], pseudo_rows=len(kept)).weights
        # How much of the excess each member would take away, each limit counted up to its excess.
        relief = np.full(len(kept), 1e-9)
        for cost, limit in costs:
            excess = cost[kept].sum() - limit
            if excess > 0:
                relief += np.minimum(cost[kept] / excess, 1.0)
        kept = np.delete(kept, int(np.argmin(_losses(q[:, kept], weights) / relief)))
    return kept


def keep_within_time(views: Array, options: Options) -> Array:
    """Return view weights with the lightest views dropped until the fastest member alone meets the time limit."""
    if options.max_seconds_per_1000 is None or options.seconds_per_1000 is None:
        return views
    affordable = int(options.max_seconds_per_1000 / max(min(options.seconds_per_1000), 1e-12) + SLACK)
    views = views.copy()
    while (views > 0).sum() > max(affordable, 1):
        views[np.flatnonzero(views)[views[views > 0].argmin()]] = 0.0
    kept: Array = views / views.sum()
    return kept


def _costs(members: int, views: int, options: Options) -> list[tuple[Array, float]]:
    unknown = np.full(members, np.nan)
    seconds, mb = (
        unknown if cost is None else np.array(cost, float) for cost in (options.seconds_per_1000, options.mb)
    )
    given = [
        (np.ones(members), options.max_members, "max_members"),
        (seconds * views, options.max_seconds_per_1000, "max_seconds_per_1000"),
        (mb, options.max_bundle_mb, "max_bundle_mb"),
    ]
    for cost, limit, name in given:
        if limit is not None and np.isnan(cost).any():
            raise DataError(f"{name} is {limit}, but not every member's cost is given", "give seconds_per_1000 and mb")
    return [(cost, float(limit)) for cost, limit, _ in given if limit is not None]


def _too_costly(members: int, views: int, options: Options) -> str:
    """What each member alone costs, and what is allowed."""
    names = options.members or [f"member {m}" for m in range(members)]
    given = [
        ("s per 1,000 images", options.seconds_per_1000, views, options.max_seconds_per_1000),
        ("MB", options.mb, 1, options.max_bundle_mb),
    ]
    limited = [(unit, cost, times, limit) for unit, cost, times, limit in given if limit is not None and cost]
    each = [
        f"{name} {' and '.join(f'{cost[m] * times:.3g} {unit}' for unit, cost, times, _ in limited)}"
        for m, name in enumerate(names)
    ]
    return f"{', '.join(each)}; allowed {' and '.join(f'{limit:g} {unit}' for unit, _, _, limit in limited)}"


def _losses(q: Array, weights: Array) -> Array:
    """Return (M,) what the mean log likelihood loses with each member, the other weights scaled up."""
    fit = q @ weights
    rest = np.maximum(fit[:, None] - q * weights, 1e-300) / np.maximum(1.0 - weights, 1e-12)
    losses: Array = np.maximum(np.log(fit)[:, None] - np.log(rest), -50.0).mean(axis=0)
    return losses - min(float(losses.min()), 0.0) + 1e-9
