"""Convex weights of a linear pool, to a proven optimum: of members, and of the views of test-time augmentation.

Minimises ``F(w) = -sum_i r_i log(sum_m w_m q_im)`` over the simplex. The sequential quadratic programme is that of
Kim, Carbonetto, Stephens and Anitescu (2020, "mixsqp"): because F is invariant to scale but for a constant, the
constraint ``sum w = 1`` may be replaced by the term ``sum w``, which leaves a non-negative least squares problem
per step. Certificate: ``max_m g_m - 1 >= F(w) - F*`` (Cover 1984; the Frank-Wolfe gap, Jaggi 2013).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from kit.judge.metrics import Array
from kit.judge.units import mean_error

TOLERANCE = 1e-10
MAX_STEPS = 200
PATIENCE = 4  # steps without a smaller gap near the optimum, where only rounding takes so many
NEAR = 1e-6
ROUNDING = 1e-14
IDENTITY = 0  # the place of this view


@dataclass(frozen=True)
class Weights:
    """Weights (M,) on the simplex; none reach a mean log loss lower than these do by more than ``gap`` nats."""

    weights: Array
    gap: float


def gather(proba: Array, y: Array) -> Array:
    """Return (N, M) float64: what each member of (M, N, C) probabilities gave to the true class ``y`` (N,)."""
    rows = np.arange(len(y))
    return np.ascontiguousarray(np.stack([member[rows, y] for member in proba], axis=1), dtype=np.float64)


def convex_weights(q: Array, *, pseudo_rows: float = 0.0, start: Array | None = None) -> Weights:
    """Return the weights that maximise the mean log likelihood of the pool, starting from ``start`` (M,).

    ``q`` (N, M) are likelihoods of the true classes, from `gather`, positive in at least one column of each row.
    ``pseudo_rows`` is the strength of a Dirichlet prior towards 1/M. It enters as M rows in which one member alone is
    right, which together count as much as this number of rows: solver and certificate stay the same. The gap is at most
    1e-9 but for problems at the limit of double precision; it says so itself.
    """
    members = q.shape[1]
    q, shares = _with_prior(q, pseudo_rows)
    w = np.full(members, 1.0 / members) if start is None else 0.99 * start + 0.01 / members
    best, fit, waited = Weights(w, np.inf), q @ w, 0
    for _ in range(MAX_STEPS):
        gradient = (shares / fit) @ q
        gap = max(float(gradient.max()) - 1.0, 0.0)
        # Far from the optimum the gap may grow for several steps while the loss falls: a weight that a step has brought
        # close to zero at most doubles in each of the next ones.
        waited = 0 if gap < best.gap or gap > NEAR else waited + 1
        best = Weights(w, gap) if gap < best.gap else best
        if gap <= TOLERANCE or waited > PATIENCE:
            break
        moved = _line_search(q, shares, w, fit, _target(_hessian(q, shares, fit), gradient))
        if moved is None:
            break
        w, fit = moved
    return best


def leave_one_out(q: Array, weights: Array, *, pseudo_rows: float) -> Array:
    """Return (M, M): row m has the weights without member m, nearly, from those (M,) that `convex_weights` returned.

    They minimise the quadratic model there. What that misses is of third order in the weight of the member.
    """
    q, shares = _with_prior(q, pseudo_rows)
    fit, out = q @ weights, np.zeros((len(weights), len(weights)))
    hessian, gradient = _hessian(q, shares, fit), (shares / fit) @ q
    for m in range(len(out)):
        rest = np.delete(np.arange(len(out)), m)
        out[m, rest] = _target(hessian[np.ix_(rest, rest)], gradient[rest])
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _with_prior(q: Array, pseudo_rows: float) -> tuple[Array, Array]:
    """The rows with those of the prior, and what share of the whole each is."""
    rows, members = q.shape
    if pseudo_rows <= 0:
        return q, np.full(rows, 1.0 / max(rows, 1))  # there are none where all are in the fold left out
    shares = np.concatenate([np.ones(rows), np.full(members, pseudo_rows / members)])
    return np.vstack([q, np.eye(members)]), shares / shares.sum()


def _hessian(q: Array, shares: Array, fit: Array) -> Array:
    scaled = q * (np.sqrt(shares) / fit)[:, None]
    return np.asarray(scaled.T @ scaled)


def _target(hessian: Array, gradient: Array) -> Array:
    """Minimise the quadratic model of ``F(w) + sum(w)`` over ``w >= 0``."""
    # Columns of unit length, or a pseudo-row on a small weight would drown the rest; members that nearly coincide
    # make the Hessian singular, and the ridge only tilts the step, not the optimum.
    unit = 1.0 / np.sqrt(np.diag(hessian))
    hessian = hessian * unit * unit[:, None]
    hessian[np.diag_indices_from(hessian)] += 1e-13
    root = cholesky(hessian)
    target, _ = nnls(root, solve_triangular(root, (2.0 * gradient - 1.0) * unit, trans="T"))
    return np.asarray(target * unit)


def _line_search(q: Array, shares: Array, w: Array, fit: Array, target: Array) -> tuple[Array, Array] | None:
    """Halve the step until ``F(w) + sum(w)`` falls by a part of what its slope promises; None where it cannot."""
    direction, fit_change = target - w, q @ target - fit
    slope = shares @ (-fit_change / fit) + direction.sum()
    step = 1.0
    while step > 1e-10 and slope < ROUNDING:
        ahead = fit + step * fit_change
        if ahead.min() > 0:
            change = step * direction.sum() - shares @ np.log(ahead / fit)
            if change <= 1e-4 * step * slope + ROUNDING:
                moved = np.maximum(w + step * direction, 0.0)
                return moved / moved.sum(), ahead / moved.sum()
        step /= 2.0
    return None


def view_likelihoods(proba: Array, y: Array) -> Array:
    """Return (N, V): what the mean of the members (M, V, N, C) gives to the true class under each view."""
    rows = np.arange(len(y))
    total = sum(member[:, rows, y].astype(np.float64) for member in proba)
    return np.asarray(np.maximum(np.asarray(total).T / len(proba), 1e-12))


def fit_views(q: Array, fold: Array, max_views: int | None = None, unit: Array | None = None) -> Array:
    """Return (V,) view weights; identity alone unless the others gain more than one standard error out of fold.

    Test-time augmentation weighted as by Shanmugam et al. 2021, with the solver of the members' weights.
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
