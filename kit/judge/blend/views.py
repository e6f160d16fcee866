"""Weights of the views of test-time augmentation (Shanmugam et al. 2021), by the solver of the members' weights."""

import numpy as np

from kit.judge.blend.convex import convex_weights
from kit.judge.metrics import Array
from kit.judge.units import mean_error

IDENTITY = 0


def view_likelihoods(proba: Array, y: Array) -> Array:
    """Return (N, V): what the mean of the members (M, V, N, C) gives to the true class under each view."""
    rows = np.arange(len(y))
    total = sum(member[:, rows, y].astype(np.float64) for member in proba)
    return np.asarray(np.maximum(np.asarray(total).T / len(proba), 1e-12))


def fit_views(q: Array, fold: Array, max_views: int | None = None, unit: Array | None = None) -> Array:
    """Return (V,) view weights; identity alone unless the others gain more than one standard error out of fold.

    ``q`` (N, V) is from `view_likelihoods`, the first view the identity. The gain is that on rows whose ``fold`` (N,)
    was left out of the fit, its error that of the units (N,); the views that cost least are dropped until ``max_views``
    are left.
    """
    identity: Array = np.eye(q.shape[1])[IDENTITY]
    if q.shape[1] == 1:
        return identity
    gains = np.empty(len(q))
    for k in np.unique(fold):
        left_out = fold == k
        gains[left_out] = np.log(q[left_out] @ view_weights(q[~left_out], max_views) / q[left_out, IDENTITY])
    if gains.mean() <= mean_error(gains, unit):
        return identity
    return view_weights(q, max_views)


def view_weights(q: Array, max_views: int | None = None) -> Array:
    """Return convex weights: the views at zero are dropped, the others shrunk by a row's worth each to equal ones."""
    kept = np.flatnonzero(convex_weights(q).weights > 1e-6)
    weights = convex_weights(q[:, kept], pseudo_rows=len(kept)).weights
    while max_views is not None and len(kept) > max_views:
        without = [np.delete(weights, k) for k in range(len(kept))]
        losses = [-np.log(np.delete(q[:, kept], k, 1) @ w / w.sum()).mean() for k, w in enumerate(without)]
        kept = np.delete(kept, int(np.argmin(losses)))
        weights = convex_weights(q[:, kept], pseudo_rows=len(kept)).weights
    full = np.zeros(q.shape[1])
    full[kept] = weights
    return full
