"""What all models together make of a row: one posterior over its classes, fitted where labels are known.

Confidence and agreement judge every model by itself and by the others as they are. Under a shift some models break and
others do not; a pool whose weights were fitted on stressed rows knows which, and a model is as good as the mass that
this pool gives to what the model predicts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.judge.blend.logit import fit_logit_pool
from kit.judge.metrics import Array
from kit.runtime.pool import softmax

SOFT = 0.01  # keeps logarithms of probabilities finite and outliers near
SCALE = 0.3  # standard deviation of a model's weight around the plain mean's
SCALE_BY_CLASS = 0.17  # of the weight that a class of a model has for a class
STEPS = 500
WORK = 5e7  # rows * models * classes^2, some ten seconds; beyond it a model has one weight for all classes


@dataclass(frozen=True, eq=False)
class Consensus:
    """A log-linear pool of the plain mean and M models: ``weights`` (1 + M, C, C) and ``bias`` (C,)."""

    weights: Array
    bias: Array

    def posterior(self, proba: NDArray[np.floating]) -> Array:
        """(R, C) probabilities of the classes from those of the models, (M, R, C)."""
        return np.asarray(softmax(np.tensordot(_logs(proba), self.weights, ([0, 2], [0, 1])) + self.bias), np.float64)


def learn(proba: NDArray[np.floating], y: NDArray[np.integer]) -> Consensus:
    """Fit on held-out rows: probabilities (M, N, C) and labels (N,); a weight for every model, 1/M at first."""
    logs, identity = _logs(proba), np.eye(proba.shape[2])
    ridge = np.full(len(logs) + len(identity), SCALE**-2.0)
    pool = fit_logit_pool(logs, logs[0], np.asarray(y, np.int64), ridge)
    slopes, bias = np.split(pool.theta, [len(logs)])
    return Consensus((slopes + (np.arange(len(logs)) == 0))[:, None, None] * identity, bias)


def learn_by_class(proba: NDArray[np.floating], y: NDArray[np.integer]) -> Consensus:
    """The same with a weight for every class of every model in every class, which knows what models mistake for what.

    A stacked generalisation (Wolpert 1992) by multinomial logistic regression with a ridge.
    """
    classes = proba.shape[2]
    if proba.size * classes > WORK:
        return learn(proba, y)
    # One more row of every class, on which all agree: there is none without a row.
    sure = np.eye(classes)[None].repeat(len(proba), 0)
    logs = np.moveaxis(_logs(np.concatenate([proba, sure], axis=1)), 1, 0)
    features = logs.reshape(len(logs), -1)
    middle = features.mean(0)  # the fit takes fewer steps from there
    with threadpool_limits(1):  # more threads wait for each other
        fitted = LogisticRegression(C=SCALE_BY_CLASS**2, max_iter=STEPS, tol=1e-3)
        fitted.fit(features - middle, np.r_[y, np.arange(classes)])
    weights, bias = fitted.coef_, fitted.intercept_ - fitted.coef_ @ middle
    if classes == 2:
        weights, bias = np.r_[-weights, weights] / 2, np.r_[-bias, bias] / 2
    return Consensus(np.moveaxis(weights.reshape(classes, -1, classes), 0, 2), bias)


def _logs(proba: NDArray[np.floating]) -> Array:
    soft = (np.asarray(proba, np.float64) + SOFT) / (1 + SOFT * proba.shape[2])
    return np.asarray(np.log(np.concatenate([soft.mean(0)[None], soft])), np.float64)
