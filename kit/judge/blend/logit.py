"""Pools of log probabilities: one smooth, strongly convex problem.

``p proportional to exp(offset + sum_d a_d x_d + b)``, minimised over ``(a, b)``: mean log loss plus a ridge. With the
members' log probabilities as features it is the log-linear pool (Genest & Zidek 1986; Heskes 1998), with the log
of their mean as offset and first feature the pool centred on the plain mean, whose ridge at infinity is
exactly the plain mean. A class bias ``b`` corrects the prior. The solver and its certificate are `newton`.
"""

from dataclasses import dataclass

import numpy as np

from kit.judge.blend.newton import Optimum, minimise
from kit.judge.metrics import Array


def fit_logit_pool(features: Array, offset: Array, y: Array, ridge: Array, start: Optimum | None = None) -> Optimum:
    """Fit slopes (D,) and then a class bias (C,) on top of an offset, for class indices ``y`` (N,).

    ``features`` (D, N, C) are log probabilities, ``offset`` (N, C) those at which a strong ridge leaves the pool. The
    ``ridge`` (D + C,) holds precisions of a normal prior around zero on slopes and bias, all positive, in units of
    rows; ``start`` is a neighbouring solution.
    """
    return minimise(_Slopes(features, offset, y, ridge / len(y)), start)


@dataclass(frozen=True)
class _Slopes:
    features: Array
    offset: Array
    y: Array
    ridge: Array

    def predict(self, theta: Array) -> tuple[float, Array]:
        slopes = len(self.features)
        z = np.tensordot(theta[:slopes], self.features, 1)
        z += self.offset
        z += theta[slopes:]
        return log_loss(z, self.y)

    def gradient(self, proba: Array) -> Array:
        residual = residuals(proba, self.y)
        slopes = self.features.reshape(len(self.features), -1) @ residual.ravel()
        return np.concatenate([slopes, residual.sum(axis=0)]) / len(self.y)

    def hessian(self, proba: Array) -> Array:
        depth, rows, classes = self.features.shape
        expected = np.einsum("dnc,nc->dn", self.features, proba)
        centred = (self.features - expected[:, :, None]) * np.sqrt(proba)
        flat = centred.reshape(depth, -1)
        hessian = np.empty((depth + classes, depth + classes))
        hessian[:depth, :depth] = flat @ flat.T
        hessian[:depth, depth:] = np.einsum("dnc,nc->dc", centred, np.sqrt(proba))
        hessian[depth:, :depth] = hessian[:depth, depth:].T
        hessian[depth:, depth:] = np.diag(proba.sum(axis=0)) - proba.T @ proba
        hessian /= rows
        return hessian


def log_loss(z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean log loss and the probabilities of logits (N, C), which are overwritten."""
    z -= z.max(axis=1, keepdims=True)
    true = z[np.arange(len(y)), y]
    np.exp(z, out=z)
    total = (z @ np.ones(z.shape[1]))[:, None]
    z /= total
    return float(np.mean(np.log(total[:, 0]) - true)), z


def residuals(proba: Array, y: Array) -> Array:
    """Return (N, C) probabilities less the one-hot labels."""
    residual = proba.copy()
    residual[np.arange(len(y)), y] -= 1.0
    return residual
