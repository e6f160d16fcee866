"""Black-box shift detection: do a model's outputs on the test differ from those on held-out training rows?

Lipton, Wang and Smola 2018; on the softmax outputs, with a Kolmogorov-Smirnov test for every class and Bonferroni's
correction, as Rabanser, Guennemann and Lipton 2019 found to be best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp

from kit.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Detection:
    """The outcome.

    ``pvalue`` is of "outputs are alike", the least of the classes' times their number, at most 1; ``distances`` and
    ``pvalues`` are of Kolmogorov and Smirnov for every class' probability; ``label_pvalue`` is the chi-square test of
    the counts of predicted classes: a shift of what is predicted, not of how surely.
    """

    pvalue: float
    distances: tuple[float, ...]
    pvalues: tuple[float, ...]
    label_pvalue: float


def detect(oof: Array, test: Array) -> Detection:
    """Compare softmax outputs (N, C) out of fold with those (M, C) on the test.

    Averages over folds are sharper or flatter than single models; give the test outputs of one fold where that matters.

    Raises
    ------
    DataError
        If the numbers of classes differ or a set is empty.
    """
    if oof.ndim != 2 or test.ndim != 2 or oof.shape[1] != test.shape[1] or not len(oof) or not len(test):
        raise DataError(f"shift detection: outputs of {oof.shape} and {test.shape} do not match")
    found = [ks_2samp(oof[:, c], test[:, c], method="asymp") for c in range(oof.shape[1])]
    pvalues = tuple(float(one.pvalue) for one in found)
    counts = np.stack([np.bincount(p.argmax(1), minlength=oof.shape[1]) for p in (oof, test)])
    counts = counts[:, counts.sum(0) > 0]
    labels = float(chi2_contingency(counts, correction=False).pvalue) if counts.shape[1] > 1 else 1.0
    distances = tuple(float(one.statistic) for one in found)
    return Detection(min(1.0, min(pvalues) * len(pvalues)), distances, pvalues, labels)
