"""The class prior of unlabelled test rows by EM (Saerens, Latinne and Decaestecker 2002)."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from kit.errors import DataError
from kit.judge.metrics import Array

ROUNDS = 5000
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Prior:
    """The estimate and its test.

    The test believes the probabilities, so they must be calibrated, and takes the pictures of a class to look as in
    training; corrupted pictures fool it.
    """

    prior: tuple[float, ...]  # estimated share of every class in the test
    statistic: float  # twice the gain in log likelihood over the training prior
    pvalue: float  # chi-square with C - 1 degrees of freedom: small = the classes come in other shares


def estimate(proba: Array, train_prior: Array) -> Prior:
    """Estimate the prior from (M, C) calibrated test probabilities and the (C,) training prior.

    Raises `DataError` if shapes differ or a class of the training prior has no share.
    """
    if proba.ndim != 2 or train_prior.shape != proba.shape[1:] or not len(proba):
        raise DataError(f"class prior: probabilities of {proba.shape} for a prior of {train_prior.shape}")
    if not np.all(train_prior > 0):
        raise DataError("class prior: a class has no share of the training rows", "leave the class out")
    start = train_prior / train_prior.sum()
    likelihood = np.maximum(proba, 1e-12) / start
    prior = start
    for _ in range(ROUNDS):
        joint = likelihood * prior
        update = (joint / joint.sum(1, keepdims=True)).mean(0)
        moved, prior = np.abs(update - prior).max(), update
        if moved < TOLERANCE:
            break
    gain = 2 * (np.log(likelihood @ prior).sum() - np.log(likelihood @ start).sum())
    statistic = max(0.0, float(gain))
    pvalue = float(chi2.sf(statistic, len(start) - 1)) if len(start) > 1 else 1.0
    return Prior(tuple(prior.tolist()), statistic, pvalue)
