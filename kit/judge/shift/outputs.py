"""What a model's outputs on the test tell without labels: other shares of the classes, and a shift."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, ks_2samp

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
    pvalue: float  # of the likelihood ratio, chi-square with C - 1 degrees of freedom: small = other shares


def estimate(proba: Array, train_prior: Array) -> Prior:
    """The prior from (M, C) calibrated test probabilities and the (C,) training prior, by EM (Saerens et al. 2002).

    Raises `DataError` if shapes differ or a class of the training prior has no share.
    """
    if proba.ndim != 2 or train_prior.shape != proba.shape[1:] or not len(proba):
        raise DataError(f"class prior: probabilities of shape {proba.shape} for a prior of shape {train_prior.shape}")
    if not np.all(train_prior > 0):
        raise DataError("class prior: a class has no training rows", "leave the class out")
    prior = start = train_prior / train_prior.sum()
    likelihood = np.maximum(proba, 1e-12) / start
    for _ in range(ROUNDS):
        joint = likelihood * prior
        update = (joint / joint.sum(1, keepdims=True)).mean(0)
        moved, prior = np.abs(update - prior).max(), update
        if moved < TOLERANCE:
            break
    statistic = max(0.0, 2 * float(np.log(likelihood @ prior).sum() - np.log(likelihood @ start).sum()))
    pvalue = float(chi2.sf(statistic, len(start) - 1)) if len(start) > 1 else 1.0
    return Prior(tuple(prior.tolist()), pvalue)


def detect(oof: Array, test: Array) -> float:
    """The p value of "softmax outputs (N, C) out of fold and (M, C) on the test are alike".

    Black-box shift detection (Lipton, Wang and Smola 2018) with a Kolmogorov-Smirnov test for every class and
    Bonferroni's correction (Rabanser, Guennemann and Lipton 2019): the least of the classes' times their number. Both
    must be of one network: others, and the mean of several, are sharper or flatter on the same rows.
    Raises `DataError` if the numbers of classes differ or a set is empty.
    """
    if oof.ndim != 2 or test.ndim != 2 or oof.shape[1] != test.shape[1] or not len(oof) or not len(test):
        raise DataError(f"shift detection: outputs of shape {oof.shape} and {test.shape} do not match")
    pvalues = [float(ks_2samp(oof[:, c], test[:, c], method="asymp").pvalue) for c in range(oof.shape[1])]
    return float(np.minimum(1.0, min(pvalues) * len(pvalues)))
