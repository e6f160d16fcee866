"""Pools of log probabilities: one smooth, strongly convex problem.

``p proportional to exp(offset + sum_d a_d x_d + b)``, minimised over ``(a, b)``: mean log loss plus a ridge. With the
members' log probabilities as features it is the log-linear pool (Genest & Zidek 1986; Heskes 1998), with the log
of their mean as offset and first feature the pool centred on the plain mean, whose ridge at infinity is
exactly the plain mean. A class bias ``b`` corrects the prior. The solver and its certificate are `newton`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.judge.blend.newton import HESSIAN_ROWS, Optimum, minimise
from kit.judge.metrics import Array
from kit.runtime.pool import blocks, largest


def fit_logit_pool(
    features: Sequence[Array] | Array, offset: Array, y: Array, ridge: Array, start: Optimum | None = None
) -> Optimum:
    """Fit slopes (D,) and then a class bias (C,) on top of an offset, for class indices ``y`` (N,).

    ``features`` are D arrays (N, C) of log probabilities, ``offset`` (N, C) those at which a strong ridge leaves the
    pool. The ``ridge`` (D + C,) holds precisions of a normal prior around zero on slopes and bias, all positive, in
    units of rows; ``start`` is a neighbouring solution.
    """
    return minimise(_Slopes(features, offset, y, ridge / len(y)), start)


@dataclass(frozen=True)
class _Slopes:
    features: Sequence[Array] | Array
    offset: Array
    y: Array
    ridge: Array

    def _blocks(self) -> list[slice]:
        """Rows that stay in the processor's cache with what is made of them."""
        return blocks(len(self.y), 4 * self.offset.shape[1])

    def predict(self, theta: Array) -> tuple[float, Array]:
        slopes, bias = np.split(theta, [len(self.features)])
        loss, proba = 0.0, np.empty_like(self.offset)
        for block in self._blocks():
            z = self.offset[block] + bias.astype(proba.dtype)
            for slope, feature in zip(slopes.tolist(), self.features, strict=True):
                z += slope * feature[block]
            mean, proba[block] = log_loss(z, self.y[block])
            loss += mean * len(z) / len(proba)
        return loss, proba

    def gradient(self, proba: Array) -> Array:
        total = np.zeros(len(self.ridge))
        for block in self._blocks():
            residual = residuals(proba[block], self.y[block])
            slopes = [float(feature[block].ravel() @ residual.ravel()) for feature in self.features]
            total += np.concatenate([slopes, residual.sum(axis=0, dtype=np.float64)])
        return total / len(self.y)

    def hessian(self, proba: Array) -> Array:
        step, depth, classes = -(-len(proba) // HESSIAN_ROWS), len(self.features), proba.shape[1]
        given, features = proba[::step], [feature[::step] for feature in self.features]
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
