"""What a member or a view is worth: the log loss out of fold without it, minus that with it."""

from collections.abc import Sequence

import numpy as np

from kit.judge.blend.convex import convex_weights, gather
from kit.judge.metrics import Array
from kit.judge.units import mean_error
from kit.runtime.pool import tempered


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
    worth = np.zeros((q.shape[1], 2))
    if q.shape[1] == 1:
        return worth
    start = convex_weights(q, pseudo_rows=q.shape[1]).weights
    full = _out_of_fold(q, group, start)
    for m in range(len(worth)):
        rest = np.delete(start, m)
        gains = full - _out_of_fold(np.delete(q, m, 1), group, rest / rest.sum())
        worth[m] = gains.mean(), mean_error(gains, unit)
    return worth


def _out_of_fold(q: Array, group: Array, start: Array) -> Array:
    """Return (N,) log likelihoods under weights fitted on the other groups."""
    out = np.empty(len(q))
    for k in range(int(group.max()) + 1):
        inside = group == k
        out[inside] = np.log(q[inside] @ convex_weights(q[~inside], pseudo_rows=q.shape[1], start=start).weights)
    return out
