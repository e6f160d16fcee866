"""Adversarial validation: can a classifier tell test pictures from training pictures?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold

from kit.errors import DataError
from kit.judge.metrics import Array

FOLDS = 5
MAXIMUM = 4000  # rows of either set; more change the second decimal of no AUC


@dataclass(frozen=True, eq=False)
class Adversarial:
    """What telling the sets apart came to."""

    auc: float  # out-of-fold area under the curve, .5 = alike
    error: float  # its standard error
    pvalue: float  # one-sided, of "alike"
    telling: tuple[tuple[str, float], ...]  # AUC of every statistic, the most telling first; above .5 = larger in test
    test_likeness: Array  # (M,) out-of-fold probability of being a test picture; NaN where a row was not drawn
    train_likeness: Array  # (N,) the same of the training rows


def adversarial(train: Array, test: Array, seed: int, names: Sequence[str] = ()) -> Adversarial:
    """Tell two sets apart by cross-validated extremely randomised trees.

    ``train`` (N, D) and ``test`` (M, D) are statistics or embeddings of the pictures, see `kit.judge.shift.statistics`,
    ``names`` those of the columns. Beyond `MAXIMUM` rows of a set, as many are drawn.

    Raises `DataError` if a set has fewer rows than `FOLDS`, a value is not finite or the widths differ.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(f"adversarial validation: tables of shape {train.shape} and {test.shape} do not match")
    if min(len(train), len(test)) < FOLDS:
        raise DataError(f"adversarial validation: {len(train)} and {len(test)} rows; each set needs at least {FOLDS}")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise DataError("adversarial validation: a statistic is not finite")
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.permutation(len(x))[:MAXIMUM]) for x in (train, test))
    x, z = np.concatenate([train[a], test[b]]), np.repeat([0, 1], [len(a), len(b)])
    likeness = np.zeros(len(z))
    for fit, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, z):
        trees = ExtraTreesClassifier(200, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        likeness[held] = trees.fit(x[fit], z[fit]).predict_proba(x[held])[:, 1]
    found, error = auc_with_error(likeness[z == 0], likeness[z == 1])
    labels = names or [f"column {i}" for i in range(x.shape[1])]
    single = [(label, auc_with_error(x[z == 0, i], x[z == 1, i])[0]) for i, label in enumerate(labels)]
    # Standard error of the AUC where both sets are alike (Mann and Whitney 1947).
    null = float(np.sqrt((len(a) + len(b) + 1) / (12 * len(a) * len(b))))
    pvalue = float(norm.sf((found - 0.5) / max(null, 1e-12)))
    ranked = tuple(sorted(single, key=lambda pair: -abs(pair[1] - 0.5)))
    of_test, of_train = np.full(len(test), np.nan), np.full(len(train), np.nan)
    of_test[b], of_train[a] = likeness[z == 1], likeness[z == 0]
    return Adversarial(found, error, pvalue, ranked, of_test, of_train)


def auc_with_error(negative: Array, positive: Array) -> tuple[float, float]:
    """Area under the curve and its standard error (DeLong, DeLong and Clarke-Pearson 1988)."""
    n, m = len(negative), len(positive)
    ranks = rankdata(np.concatenate([negative, positive]))
    above = (ranks[n:] - rankdata(positive)) / n
    below = 1 - (ranks[:n] - rankdata(negative)) / m
    variance = above.var(ddof=1) / m + below.var(ddof=1) / n
    return float(above.mean()), float(np.sqrt(variance))
