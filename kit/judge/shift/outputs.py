"""What a model's outputs on the test tell without labels: other classes, a shift, and the literature's accuracies."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, ks_2samp

from kit.errors import DataError
from kit.judge.metrics import Array

Labels = NDArray[np.integer]

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
    """The prior from (M, C) calibrated test probabilities and the (C,) training prior, by EM (Saerens et al. 2002).

    Raises `DataError` if shapes differ or a class of the training prior has no share.
    """
    if proba.ndim != 2 or train_prior.shape != proba.shape[1:] or not len(proba):
        raise DataError(f"class prior: probabilities of shape {proba.shape} for a prior of shape {train_prior.shape}")
    if not np.all(train_prior > 0):
        raise DataError("class prior: a class has no training rows", "leave the class out")
    start = train_prior / train_prior.sum()
    likelihood = np.maximum(proba, 1e-12) / start
    prior = start
    for _ in range(ROUNDS):
        joint = likelihood * prior
        update = (joint / joint.sum(1, keepdims=True)).mean(0)
        moved, prior = np.abs(update - prior).max(), update
        if moved < TOLERANCE:
            break
    statistic = max(0.0, 2 * float(np.log(likelihood @ prior).sum() - np.log(likelihood @ start).sum()))
    pvalue = float(chi2.sf(statistic, len(start) - 1)) if len(start) > 1 else 1.0
    return Prior(tuple(prior.tolist()), statistic, pvalue)


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


def negative_entropy(proba: Array, floor: float = 1e-12) -> Array:
    """(N,) sum of p log p: 0 = sure; ATC's better score."""
    return np.asarray((proba * np.log(np.maximum(proba, floor))).sum(-1), np.float64)


def atc_threshold(oof: Array, y: Labels) -> float:
    """The score that as many held-out rows exceed as are right (average thresholded confidence, Garg et al. 2022)."""
    scores = np.sort(negative_entropy(oof))
    wrong = int((oof.argmax(-1) != y).sum())
    if wrong == 0:
        return float("-inf")
    return float(scores[-1] if wrong == len(scores) else (scores[wrong - 1] + scores[wrong]) / 2)


def atc(oof: Array, y: Labels, test: Array) -> float:
    """Share of test rows whose negative entropy exceeds `atc_threshold`."""
    return float((negative_entropy(test) > atc_threshold(oof, y)).mean())


def difference_of_confidences(oof: Array, y: Labels, test: Array) -> float:
    """Accuracy out of fold less the drop of the mean confidence (Guillory et al. 2021)."""
    accuracy = float((oof.argmax(-1) == y).mean())
    return float(np.clip(accuracy - (oof.max(-1).mean() - test.max(-1).mean()), 0, 1))


def agreement(predicted: Labels) -> float:
    """Mean share of rows on which two of K predictors agree; ``predicted`` (K, M).

    Expected accuracy where the predictors are calibrated as a class (generalisation disagreement, Jiang et al. 2022).
    """
    if len(predicted) < 2:
        raise DataError("agreement needs two predictors", "give the predictions of at least two folds")
    return float(np.mean([(predicted[i] == predicted[j]).mean() for i in range(len(predicted)) for j in range(i)]))
