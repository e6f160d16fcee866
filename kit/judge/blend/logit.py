"""Pools of log probabilities: one smooth, strongly convex problem.

``p proportional to exp(offset + sum_d a_d x_d + b)``, minimised over ``(a, b)``: mean log loss plus a ridge. With the
members' log probabilities as features it is the log-linear pool (Genest & Zidek 1986; Heskes 1998), with the log
of their mean as offset and first feature the pool centred on the plain mean, whose ridge at infinity is
exactly the plain mean. A class bias ``b`` corrects the prior. The solver and its certificate are `newton`.
"""

from dataclasses import dataclass

import numpy as np

from kit.judge.blend.newton import HESSIAN_ROWS, Optimum, minimise
from kit.judge.metrics import Array
from kit.runtime.pool import blocks, largest


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
