"""What all models together make of a row: one posterior over its classes, fitted where labels are known.

Confidence and agreement judge every model by itself and by the others as they are. Under a shift some models break and
others do not; a pool whose weights were fitted on stressed rows knows which, and a model is as good as the mass that
this pool gives to what the model predicts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.judge.blend.logit import fit_logit_pool
from kit.judge.metrics import Array
from kit.runtime.pool import softmax

SOFT = 0.01  # keeps logarithms of probabilities finite and outliers near
SCALE = 0.3  # standard deviation of a model's weight around the plain mean's


@dataclass(frozen=True, eq=False)
class Consensus:
    """A log-linear pool centred on the plain mean: ``slopes`` (1 + M,) and ``bias`` (C,)."""

    slopes: Array
    bias: Array

    def posterior(self, proba: NDArray[np.floating]) -> Array:
        """(R, C) probabilities of the classes from those of the models, (M, R, C)."""
        offset, logs = _logs(proba)
        z = offset * (1 + self.slopes[0]) + np.tensordot(self.slopes[1:], logs, 1) + self.bias
        return np.asarray(softmax(z), np.float64)


def learn(proba: NDArray[np.floating], y: NDArray[np.integer]) -> Consensus:
    """Fit on held-out rows: probabilities (M, N, C) and labels (N,)."""
    offset, logs = _logs(proba)
    features = np.concatenate([offset[None], logs])
    ridge = np.full(len(features) + proba.shape[2], SCALE**-2.0)
    pool = fit_logit_pool(features, offset, np.asarray(y, np.int64), ridge)
    return Consensus(*np.split(pool.theta, [len(features)]))


def _logs(proba: NDArray[np.floating]) -> tuple[Array, Array]:
    soft = (np.asarray(proba, np.float64) + SOFT) / (1 + SOFT * proba.shape[2])
    return np.log(soft.mean(0)), np.log(soft)
