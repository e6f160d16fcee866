"""Black-box shift detection: do a model's outputs on the test differ from those on held-out training rows?

Lipton, Wang and Smola 2018; on the softmax outputs, with a Kolmogorov-Smirnov test for every class and Bonferroni's
correction, as Rabanser, Guennemann and Lipton 2019 found to be best.
"""

import numpy as np
from scipy.stats import ks_2samp

from kit.errors import DataError
from kit.judge.metrics import Array


def detect(oof: Array, test: Array) -> float:
    """The p value of "softmax outputs (N, C) out of fold and (M, C) on the test are alike".

    It is the least of the classes' times their number, at most 1. Averages over folds are sharper or flatter than
    single models; give the test outputs of one fold where that matters. Raises `DataError` if the numbers of classes
    differ or a set is empty.
    """
    if oof.ndim != 2 or test.ndim != 2 or oof.shape[1] != test.shape[1] or not len(oof) or not len(test):
        raise DataError(f"shift detection: outputs of {oof.shape} and {test.shape} do not match")
    pvalues = [float(ks_2samp(oof[:, c], test[:, c], method="asymp").pvalue) for c in range(oof.shape[1])]
    return float(np.minimum(1.0, min(pvalues) * len(pvalues)))
