"""A pool whose weights differ by class: multinomial ridge regression on the members' log probabilities.

``p proportional to exp(offset + sum_m a_m x_m + sum_m W_m x_m + b)`` with x_m (C,) the log probabilities of member m:
what it says of class d moves class c by ``W_m[d, c]`` (stacking, Wolpert 1992; with a ridge, Ting & Witten 1999). With
the log of the mean as offset, a ridge at infinity is exactly the mean. Slopes ``a`` that all classes share have a
ridge of their own, so that the weights of classes are departures from those of the members. In the diagonal form
``W_m`` has a diagonal only.
"""

from dataclasses import dataclass

import numpy as np

from kit.judge.blend.logit import log_loss, residuals
from kit.judge.blend.newton import HESSIAN_ROWS, Optimum, minimise
from kit.judge.metrics import Array


@dataclass(frozen=True)
class Classwise:
    """Slopes (M,), weights (M, R, C), where R is C or 1 in the diagonal form, and bias (C,).

    The penalised mean log loss is at most ``bound`` above its minimum.
    """

    slopes: Array
    weights: Array
    bias: Array
    bound: float
    optimum: Optimum


def fit_classwise(
    logs: Array, offset: Array, y: Array, scales: tuple[float, float, float], *, full: bool, start: Optimum | None
) -> Classwise:
    """Fit the pool to log probabilities (M, N, C) and class indices (N,) on top of an offset (N, C).

    ``scales`` are standard deviations of a normal prior around zero: of the slopes, of the weights, of the bias.
    """
    members, _, classes = logs.shape
    problem = _Classwise(logs, offset, y, scales, full)
    found = minimise(problem, start)
    weights = found.theta[members : len(found.theta) - classes].reshape(members, -1, classes)
    return Classwise(found.theta[:members], weights, found.theta[-classes:], found.bound, found)


class _Classwise:
    """The problem in the features x (N, M * C), each weight being that of one feature for one class."""

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
