"""What a member or a view is worth: the log loss out of fold without it, minus that with it."""

from collections.abc import Sequence

import numpy as np

from kit.judge.blend.convex import convex_weights, gather, leave_one_out
from kit.judge.metrics import Array
from kit.judge.units import mean_error
from kit.runtime.pool import tempered

MANY = 2**20  # likelihoods from which on fits without each member take too long


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
