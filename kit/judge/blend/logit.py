"""Pools of log probabilities: one smooth, strongly convex problem.

``p proportional to exp(offset + sum_d a_d x_d + b)``, minimised over ``(a, b)``: mean log loss plus a ridge. With the
members' log probabilities as features it is the log-linear pool (Genest & Zidek 1986; Heskes 1998), with the log
of their mean as offset and first feature the pool centred on the plain mean, whose ridge at infinity is
exactly the plain mean. A class bias ``b`` corrects the prior. Newton's method with a line search; the certificate
``|gradient|^2 / (2 mu)`` bounds the suboptimality, where ``mu`` is the ridge.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kit.judge.metrics import Array

TOLERANCE = 1e-10
MAX_STEPS = 50


@dataclass(frozen=True)
class LogitPool:
    """Slopes (D,) and bias (C,); the penalised mean log loss is at most ``bound`` above its minimum."""

    slopes: Array
    bias: Array
    bound: float

    @property
    def theta(self) -> Array:
        """All parameters in one vector, the start of a neighbouring problem."""
        return np.concatenate([self.slopes, self.bias])


def fit_logit_pool(features: Array, offset: Array, y: Array, ridge: Array, start: Array | None = None) -> LogitPool:
    """Fit slopes and a class bias on top of an offset, for class indices ``y`` (N,).

    ``features`` (D, N, C) are log probabilities, ``offset`` (N, C) those at which a strong ridge leaves the pool. The
    ``ridge`` (D + C,) holds precisions of a normal prior around zero on slopes and bias, all positive, in units of
    rows; ``start`` (D + C,) is a neighbouring solution.
    """
    ridge = ridge / len(y)
    theta = np.zeros(len(ridge)) if start is None else start.copy()
    loss, proba = _loss(features, offset, y, ridge, theta)
    for _ in range(MAX_STEPS):
        residual = proba.copy()
        residual[np.arange(len(y)), y] -= 1.0
        slopes = features.reshape(len(features), -1) @ residual.ravel()
        gradient = np.concatenate([slopes, residual.sum(axis=0)]) / len(y) + ridge * theta
        bound = float(np.sum(gradient**2 / ridge) / 2.0)
        if bound <= TOLERANCE:
            break
        direction = -cho_solve(cho_factor(_hessian(features, proba) + np.diag(ridge)), gradient)
        step, slope = 1.0, float(gradient @ direction)
        while step > 1e-8 and slope < 0:
            moved = theta + step * direction
            ahead, proba_ahead = _loss(features, offset, y, ridge, moved)
            if ahead <= loss + 1e-4 * step * slope + 1e-14:
                theta, loss, proba = moved, ahead, proba_ahead
                break
            step /= 2.0
        else:
            break
    return LogitPool(theta[: len(features)], theta[len(features) :], bound)


def _loss(features: Array, offset: Array, y: Array, ridge: Array, theta: Array) -> tuple[float, Array]:
    slopes = len(features)
    z = np.tensordot(theta[:slopes], features, 1)
    z += offset
    z += theta[slopes:]
    z -= z.max(axis=1, keepdims=True)
    true = z[np.arange(len(y)), y]
    np.exp(z, out=z)
    total = (z @ np.ones(z.shape[1]))[:, None]
    z /= total
    return float(np.mean(np.log(total[:, 0]) - true) + 0.5 * np.sum(ridge * theta**2)), z


def _hessian(features: Array, proba: Array) -> Array:
    depth, rows, classes = features.shape
    expected = np.einsum("dnc,nc->dn", features, proba)
    centred = (features - expected[:, :, None]) * np.sqrt(proba)
    flat = centred.reshape(depth, -1)
    hessian = np.empty((depth + classes, depth + classes))
    hessian[:depth, :depth] = flat @ flat.T
    hessian[:depth, depth:] = np.einsum("dnc,nc->dc", centred, np.sqrt(proba))
    hessian[depth:, :depth] = hessian[:depth, depth:].T
    hessian[depth:, depth:] = np.diag(proba.sum(axis=0)) - proba.T @ proba
    hessian /= rows
    return hessian
