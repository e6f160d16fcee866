"""A ridge head on features (Hoerl & Kennard 1970), out of fold, its penalty chosen inside of the training rows."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kit.base.arrays import IntArray
from kit.judge.metrics import Array

PENALTIES = 10.0 ** np.arange(-4, 2, 0.75)  # of the mean variance of a feature
PARTS = 4  # of the training rows, in whole groups, each of which judges penalties once


def out_of_fold(features: Array, targets: Array, fold: IntArray, group: IntArray) -> Array:
    """Predictions (V, N, C) of held-out rows by heads that learnt ``targets`` (N, C) from the other rows.

    ``features`` (V, N, F) are of V versions of the rows, of which heads learn the first. Rows with ``fold`` (N,) -1 are
    never held out, their predictions NaN. Penalties are judged on training rows that are left out, by ``group`` (N,).
    """
    part = np.random.default_rng(0).permutation(group.max() + 1)[group] % PARTS
    said = np.full((*features.shape[:2], targets.shape[1]), np.nan)
    for number in range(fold.max() + 1):
        held, errors = fold == number, np.zeros(len(PENALTIES))
        for inner in range(PARTS):
            fitted, judged = ~held & (part != inner), ~held & (part == inner)
            if not fitted.any():  # one group alone
                continue
            found = predictions(features[0, fitted], targets[fitted], features[:1, judged], PENALTIES)
            errors += ((found[:, 0] - targets[judged]) ** 2).sum(axis=(1, 2))
        best = PENALTIES[[errors.argmin()]]
        said[:, held] = predictions(features[0, ~held], targets[~held], features[:, held], best)[0]
    return said


def predictions(x: Array, y: Array, others: Array, penalties: Array) -> Array:
    """Predictions (L, V, M, C) of rows ``others`` (V, M, F) by heads fitted to (N, F) and (N, C), one a penalty."""
    centre, mean = x.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    rows, answers = x - centre, y - mean
    is_wide = rows.shape[1] > len(rows)  # then the problem of the rows is the smaller one, with the same solution
    gram, sides = (rows @ rows.T, answers) if is_wide else (rows.T @ rows, rows.T @ answers)
    unit = (np.trace(gram) / rows.shape[1] or 1.0) * np.eye(len(gram))
    found = [cho_solve(cho_factor(gram + penalty * unit), sides) for penalty in penalties]
    return np.stack([(others - centre) @ (rows.T @ one if is_wide else one) + mean for one in found])
