"""What members and views are worth, and the limits on members, time and size: what costs least is dropped first.

The worth is the log loss out of fold without a member or a view, minus that with it.
"""

from collections.abc import Sequence

import numpy as np

from kit.errors import DataError
from kit.judge.blend.convex import convex_weights, gather, leave_one_out
from kit.judge.blend.result import Options
from kit.judge.metrics import Array
from kit.judge.units import mean_error
from kit.runtime.pool import tempered

MANY = 2**20  # likelihoods from which on fits without each member take too long
SLACK = 1e-9
MEMBERS = "members"
RAISE = "raise max_seconds_per_1000 and max_bundle_mb of [ensemble], or max_seconds and max_mb of [bundle]"


def keep_members(q: Array, views: int, options: Options) -> Array:
    """Return the sorted indices of the members that the limits allow.

    Members that break a limit alone leave first, the others one by one: the one whose loss of log likelihood in the
    convex pool is least, per unit of what is over the limit; the weights of the others are fitted again after each.
    ``q`` (N, M) are likelihoods of the true class, ``views`` is how many each member predicts.
    """
    limits = _limits(q.shape[1], views, options)
    costs = [(cost, limit) for _, cost, limit in limits]
    alone = np.all([np.ones(q.shape[1], dtype=bool), *(cost <= limit + SLACK for cost, limit in costs)], axis=0)
    kept = np.flatnonzero(alone)
    if len(kept) == 0:
        spent = [(unit, cost, limit) for unit, cost, limit in limits if unit != MEMBERS]
        names = options.members or [f"member {m}" for m in range(q.shape[1])]
        each = [f"{name} {' and '.join(f'{c[m]:.3g} {unit}' for unit, c, _ in spent)}" for m, name in enumerate(names)]
        allowed = " and ".join(f"{limit:g} {unit}" for unit, _, limit in spent)
        raise DataError(f"the limits leave no member: {', '.join(each)}; allowed {allowed}", RAISE)
    while any(cost[kept].sum() > limit + SLACK for cost, limit in costs):
        weights = convex_weights(q[:, kept], pseudo_rows=len(kept)).weights
        # How much of the excess each member would take away, each limit counted up to its excess.
        relief = np.full(len(kept), 1e-9)
        for cost, excess in [(cost[kept], cost[kept].sum() - limit) for cost, limit in costs]:
            if excess > 0:
                relief += np.minimum(cost / excess, 1.0)
        # What the mean log likelihood loses with each member, the other weights scaled up.
        fit = q[:, kept] @ weights
        rest = np.maximum(fit[:, None] - q[:, kept] * weights, 1e-300) / np.maximum(1.0 - weights, 1e-12)
        losses = np.maximum(np.log(fit)[:, None] - np.log(rest), -50.0).mean(axis=0)
        losses = losses - min(float(losses.min()), 0.0) + 1e-9
        kept = np.delete(kept, int(np.argmin(losses / relief)))
    return kept


def keep_within_time(views: Array, options: Options) -> Array:
    """Return view weights with the lightest views dropped until the fastest member alone meets the time limit."""
    if options.max_seconds_per_1000 is None or options.seconds_per_1000 is None:
        return views
    affordable = int(options.max_seconds_per_1000 / max(min(options.seconds_per_1000), 1e-12) + SLACK)
    views = views.copy()
    while (views > 0).sum() > max(affordable, 1):
        views[np.flatnonzero(views)[views[views > 0].argmin()]] = 0.0
    return np.asarray(views / views.sum())


def _limits(members: int, views: int, options: Options) -> list[tuple[str, Array, float]]:
    """Unit, cost of each member (M,) and limit of what is limited."""
    unknown = [np.nan] * members
    seconds, mb = (np.array(cost or unknown, float) for cost in (options.seconds_per_1000, options.mb))
    given = [
        (MEMBERS, np.ones(members), options.max_members, "max_members"),
        ("s per 1,000 images", seconds * views, options.max_seconds_per_1000, "max_seconds_per_1000"),
        ("MB", mb, options.max_bundle_mb, "max_bundle_mb"),
    ]
    for _, cost, limit, name in given:
        if limit is not None and np.isnan(cost).any():
            raise DataError(f"{name} is {limit}, but not every member's cost is given", "give seconds_per_1000 and mb")
    return [(unit, cost, float(limit)) for unit, cost, limit, _ in given if limit is not None]


def member_worth(logs: Sequence[Array], y: Array, group: Array, unit: Array, temperatures: Array) -> Array:
    """Return (M, 2) gain and standard error of each member in the shrunk convex pool of tempered members.

    Log probabilities are M arrays (N, C), class indices, groups and units of rows (N,), temperatures (M,).
    """
    q = np.stack([gather(tempered(m, t)[None], y)[:, 0] for m, t in zip(logs, temperatures, strict=True)], axis=1)
    return _worth(q, group, unit)


def view_worth(q: Array, group: Array, unit: Array, views: Array) -> Array:
    """Return (V, 2) gain and standard error of each view with a weight (V,); zero for those that are not used.

    ``q`` (N, V) are likelihoods of the mean of the members.
    """
    worth = np.zeros((len(views), 2))
    used = np.flatnonzero(views)
    worth[used] = _worth(q[:, used], group, unit)
    return worth


def _worth(q: Array, group: Array, unit: Array) -> Array:
    members = q.shape[1]
    if members == 1:
        return np.zeros((1, 2))
    start = convex_weights(q, pseudo_rows=members).weights
    without = np.empty((members, len(q)))  # log likelihoods without each member, by weights fitted on the other groups
    full = np.empty(len(q))
    for k in range(int(group.max()) + 1):
        inside = group == k
        fitted, out = q[~inside], q[inside]
        weights = convex_weights(fitted, pseudo_rows=members, start=start).weights
        full[inside] = np.log(out @ weights)
        if q.size > MANY:
            without[:, inside] = np.log(leave_one_out(fitted, weights, pseudo_rows=members) @ out.T)
            continue
        for m in range(members):
            rest, columns = np.delete(start, m), np.delete(fitted, m, 1)
            found = convex_weights(columns, pseudo_rows=members - 1, start=rest / rest.sum())
            without[m, inside] = np.log(np.delete(out, m, 1) @ found.weights)
    gains = full - without
    return np.stack([gains.mean(axis=1), mean_error(gains, unit)], axis=1)
