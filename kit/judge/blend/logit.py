"""Pools of log probabilities: one smooth, strongly convex problem.

``p proportional to exp(offset + sum_d a_d x_d + b)``, minimised over ``(a, b)``: mean log loss plus a ridge. With the
members' log probabilities as features it is the log-linear pool (Genest & Zidek 1986; Heskes 1998), with the log
of their mean as offset and first feature the pool centred on the plain mean, whose ridge at infinity is
exactly the plain mean. A class bias ``b`` corrects the prior.

The solver is Newton's method. A neighbouring problem (other rows, nearly the same minimum) has nearly the same
Hessian, but for the ridge: it serves until a step gains less than it should, corrected by what the steps find (BFGS),
because Hessians cost many times as much as gradients. The certificate ``|gradient|^2 / (2 mu)`` bounds the
suboptimality, where ``mu`` is the ridge, whatever the steps were.

Weights that differ by class add ``sum_m W_m x_m``: what member m says of class d moves class c by ``W_m[d, c]``
(stacking, Wolpert 1992; with a ridge, Ting & Witten 1999). The slopes that all classes share have a ridge of their own,
so that the weights of classes are departures from those of the members. In the diagonal form ``W_m`` has a diagonal
only.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kit.judge.metrics import Array
from kit.runtime.pool import blocks, largest

MAX_STEPS = 60
FALL = 4.0  # the bound is to fall by this factor in a step, or the Hessian is computed again
HESSIAN_ROWS = 20_000  # more say the same about how far to step
TOLERANCE, PRECISION = 1e-12, 1e-14
SINGLE = 1e-7  # both, where probabilities are of single precision, or a total of SLACK nats if that is more
SLACK = 0.02


@dataclass(frozen=True)
class Optimum:
    """Parameters (P,) whose penalised mean log loss is at most ``bound`` above its minimum, and a Hessian."""

    theta: Array
    bound: float
    hessian: Array | None


def minimise(problem: "_Slopes | Classwise", start: Optimum | None = None) -> Optimum:
    """Minimise mean log loss plus ridge, starting from the optimum of a neighbouring problem.

    The ridge (P,), all positive, holds precisions in units of the mean loss. ``evaluate`` returns the mean log loss of
    P parameters, its gradient (P,) and the probabilities (N, C); ``hessian`` (P, P) may be that of some rows: it only
    decides on how many steps are taken.
    """
    theta = np.zeros(len(problem.ridge)) if start is None else start.theta
    given = hessian = None if start is None else start.hessian
    factor, before, steps = None, np.inf, list[tuple[Array, Array]]()
    loss, gradient, proba = _penalised(problem, theta)
    tolerance, precision = TOLERANCE, PRECISION
    if proba.dtype == np.float32:
        tolerance, precision = max(SINGLE, SLACK / len(proba)), SINGLE
    for _ in range(MAX_STEPS):
        bound = float(np.sum(gradient**2 / problem.ridge) / 2.0)
        if bound <= tolerance:
            break
        if hessian is None or bound > before / FALL:
            hessian, factor, steps = problem.hessian(proba), None, []
        if factor is None:
            factor = cho_factor(hessian + np.diag(problem.ridge))
        before, direction = bound, -_solve(factor, steps, gradient)
        step, slope = 1.0, float(gradient @ direction)
        while step > 1e-8 and slope < 0:
            moved = theta + step * direction
            ahead = _penalised(problem, moved)
            if ahead[0] <= loss + 1e-4 * step * slope + precision:
                change = ahead[1] - gradient
                steps += [(moved - theta, change)] if change @ direction > 0 else []  # rounding may say otherwise
                theta, (loss, gradient, proba) = moved, ahead
                break
            step /= 2.0
        else:
            break
    # Neighbours start at the optimum, where their Hessian should be from.
    return Optimum(theta, bound, given if hessian is given else problem.hessian(proba))


def _solve(factor: Any, steps: list[tuple[Array, Array]], gradient: Array) -> Array:
    """Solve for a factor's Hessian as BFGS corrects it by steps and their changes of the gradient (Nocedal 1980)."""
    if not steps:
        return np.asarray(cho_solve(factor, gradient))
    step, change = steps[-1]
    part = step @ gradient / (step @ change)
    found = _solve(factor, steps[:-1], gradient - part * change)
    return np.asarray(found + (part - change @ found / (step @ change)) * step)


def _penalised(problem: "_Slopes | Classwise", theta: Array) -> tuple[float, Array, Array]:
    loss, gradient, proba = problem.evaluate(theta)
    return loss + 0.5 * float(np.sum(problem.ridge * theta**2)), gradient + problem.ridge * theta, proba


def fit_logit_pool(
    logs: Array, offset: Array, y: Array, ridge: Array, start: Optimum | None = None, *, centred: bool = False
) -> Optimum:
    """Fit slopes (D,) and then a class bias (C,) on top of an offset, for class indices ``y`` (N,).

    The D features are the log probabilities ``logs`` (M, N, C), after the ``offset`` (N, C) itself where the pool is
    ``centred``; a strong ridge leaves the pool at the offset. The ``ridge`` (D + C,) holds precisions of a normal prior
    around zero on slopes and bias, all positive, in units of rows; ``start`` is a neighbouring solution.
    """
    return minimise(_Slopes(logs, offset, y, ridge / len(y), int(centred)), start)


@dataclass(frozen=True)
class _Slopes:
    logs: Array
    offset: Array
    y: Array
    ridge: Array
    centred: int  # how many features stand before the members

    def evaluate(self, theta: Array) -> tuple[float, Array, Array]:
        """The members' numbers are read once: a block stays in the processor's cache until its gradient is known."""
        (members, _, classes), proba = self.logs.shape, np.empty_like(self.offset)
        own, slopes, bias = np.split(theta.astype(proba.dtype), [self.centred, self.centred + members])
        loss, gradient = 0.0, np.zeros(len(theta))
        for block in blocks(len(self.y), 2 * members * classes):
            logs, offset = self.logs[:, block].reshape(members, -1), self.offset[block]
            z = (slopes @ logs).reshape(offset.shape) + (1 + own.sum()) * offset + bias
            mean, proba[block] = log_loss(z, self.y[block])
            residual = residuals(z, self.y[block])
            loss += mean * len(z) / len(proba)
            features = [offset.ravel() @ residual.ravel()] * self.centred
            gradient += np.concatenate([features, logs @ residual.ravel(), residual.sum(axis=0, dtype=np.float64)])
        return loss, gradient / len(self.y), proba

    def hessian(self, proba: Array) -> Array:
        step, classes = -(-len(proba) // HESSIAN_ROWS), proba.shape[1]
        given, features = proba[::step], [each[::step] for each in (*[self.offset] * self.centred, *self.logs)]
        depth = len(features)
        hessian = np.zeros((depth + classes, depth + classes))
        hessian[depth:, depth:] = np.diag(given.sum(axis=0)) - given.T @ given
        for block in blocks(len(given), depth * classes):
            each, root = np.stack([feature[block] for feature in features]), np.sqrt(given[block])
            centred = (each - np.einsum("dnc,nc->dn", each, given[block])[:, :, None]) * root
            flat = centred.reshape(depth, -1)
            hessian[:depth, :depth] += flat @ flat.T
            hessian[:depth, depth:] += np.einsum("dnc,nc->dc", centred, root)
        hessian[depth:, :depth] = hessian[:depth, depth:].T
        return hessian / len(given)


def log_loss(z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean log loss and the probabilities of logits (N, C), which are overwritten."""
    z -= largest(z)
    true = z[np.arange(len(y)), y]
    np.exp(z, out=z)
    total = (z @ np.ones(z.shape[1], z.dtype))[:, None]
    z /= total
    return float(np.mean(np.log(total[:, 0]) - true, dtype=np.float64)), z


def residuals(proba: Array, y: Array) -> Array:
    """Return (N, C) probabilities less the one-hot labels."""
    residual = proba.copy()
    residual[np.arange(len(y)), y] -= 1.0
    return residual


class Classwise:
    """Slopes (M,), weights (M, R, C), where R is C or 1 in the diagonal form, and bias (C,) on an offset (N, C).

    The problem for log probabilities (M, N, C) and class indices (N,) in the features x (N, M * C), each weight being
    that of one feature for one class. ``scales`` are standard deviations of a normal prior around zero: of the slopes,
    of the weights, of the bias.
    """

    def __init__(self, logs: Array, offset: Array, y: Array, scales: tuple[float, float, float], full: bool) -> None:
        self.members, rows, self.classes = logs.shape
        self.x = np.ascontiguousarray(logs.transpose(1, 0, 2)).reshape(rows, -1)
        self.offset, self.y = offset, y
        every = np.arange(self.x.shape[1])
        self.feature = np.repeat(every, self.classes) if full else every
        self.target = np.tile(np.arange(self.classes), self.members * (self.classes if full else 1))
        own = np.flatnonzero(self.feature % self.classes == self.target)
        self.shared = own.reshape(self.members, self.classes)  # the weights that a slope is the sum of
        sizes = (self.members, len(self.feature), self.classes)
        self.ridge = np.repeat(np.array(scales) ** -2.0, sizes) / rows

    def split(self, theta: Array) -> tuple[Array, Array, Array]:
        """Slopes, weights and bias."""
        slopes, weights, bias = np.split(theta, [self.members, len(theta) - self.classes])
        return slopes, weights.reshape(self.members, -1, self.classes), bias

    def evaluate(self, theta: Array) -> tuple[float, Array, Array]:
        weights = theta[self.members : -self.classes].copy()
        weights[self.shared] += theta[: self.members, None]
        dense = np.zeros((self.x.shape[1], self.classes), self.x.dtype)
        dense[self.feature, self.target] = weights
        loss, proba = log_loss(self.x @ dense + self.offset + theta[-self.classes :].astype(dense.dtype), self.y)
        residual = residuals(proba, self.y)
        slopes = (self.x.T @ residual)[self.feature, self.target]
        gradient = np.concatenate([slopes[self.shared].sum(axis=1), slopes, residual.sum(axis=0)])
        return loss, gradient / len(self.y), proba

    def hessian(self, proba: Array) -> Array:
        rows = np.arange(0, len(self.y), -(-len(self.y) // HESSIAN_ROWS))
        x = np.column_stack([self.x[rows], np.ones(len(rows))])
        feature = np.append(self.feature, np.full(self.classes, x.shape[1] - 1))
        target = np.append(self.target, np.arange(self.classes))
        inner = np.zeros((len(feature), len(feature)))
        for start in range(0, len(rows), 1 + 4_000_000 // len(feature)):
            block = slice(start, start + 1 + 4_000_000 // len(feature))
            given = proba[rows[block]]
            joint = x[block][:, feature] * given[:, target]
            inner -= joint.T @ joint
            for c in range(self.classes):
                of = np.flatnonzero(target == c)
                seen = x[block][:, feature[of]]
                inner[np.ix_(of, of)] += (seen * given[:, c, None]).T @ seen
        sums = np.stack([inner[own].sum(axis=0) for own in self.shared])
        both = np.stack([sums[:, own].sum(axis=1) for own in self.shared], axis=1)
        return np.block([[both, sums], [sums.T, inner]]) / len(rows)
