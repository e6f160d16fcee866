"""Published estimates of the accuracy on a test set without labels, from a network's probabilities alone.

They are peers of the forecast in `shift_forecast.py`; the kit does not use them. ``oof`` (N, C) are probabilities of
held-out rows with labels ``y`` (N,), ``test`` (M, C) those of the test images.
"""

import numpy as np

Array = np.ndarray


def negative_entropy(proba: Array, floor: float = 1e-12) -> Array:
    """(N,) sum of p log p: 0 = sure; ATC's better score."""
    return np.asarray((proba * np.log(np.maximum(proba, floor))).sum(-1), np.float64)


def atc_threshold(oof: Array, y: Array) -> float:
    """The score that as many held-out rows exceed as are right (average thresholded confidence, Garg et al. 2022)."""
    scores = np.sort(negative_entropy(oof))
    wrong = int((oof.argmax(-1) != y).sum())
    if wrong == 0:
        return float("-inf")
    return float(scores[-1] if wrong == len(scores) else (scores[wrong - 1] + scores[wrong]) / 2)


def atc(oof: Array, y: Array, test: Array) -> float:
    """Share of test rows whose negative entropy exceeds `atc_threshold`."""
    return float((negative_entropy(test) > atc_threshold(oof, y)).mean())


def difference_of_confidences(oof: Array, y: Array, test: Array) -> float:
    """Accuracy out of fold less the drop of the mean confidence (Guillory et al. 2021)."""
    accuracy = float((oof.argmax(-1) == y).mean())
    return float(np.clip(accuracy - (oof.max(-1).mean() - test.max(-1).mean()), 0, 1))


def agreement(predicted: Array) -> float:
    """Mean share of rows on which two of K predictors agree; ``predicted`` (K, M).

    Expected accuracy where the predictors are calibrated as a class (generalisation disagreement, Jiang et al. 2022).
    """
    return float(np.mean([(predicted[i] == predicted[j]).mean() for i in range(len(predicted)) for j in range(i)]))
