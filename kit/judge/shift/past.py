"""Which mixture of corruptions explains the scores that are known? Non-negative weights, shrunk to a prior."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from kit.errors import DataError
from kit.judge.metrics import Array

ENOUGH = 3
SUM_WEIGHT = 1e4  # of "weights sum to one" against the rest, in standard errors


@dataclass(frozen=True)
class Explanation:
    """The fitted mixture, and what it makes of the past scores."""

    weights: tuple[float, ...]  # a share for every cell, summing to one
    left_out: tuple[float, ...]  # score less forecast where that score was left out; empty with fewer than two scores
    warning: str  # why not to rely on the weights, if so


def explain(cells: Array, scores: Array, errors: Array, prior: Array, concentration: float) -> Explanation:
    """Explain P past scores by K cells.

    Minimises the squared residuals in standard errors plus the squared distance of the weights from the prior in
    standard deviations of a Dirichlet distribution, by non-negative least squares (Lawson and Hanson 1974). ``cells``
    (P, K) hold the stressed score of each submitted model in each cell of the mixture, ``scores`` (P,) what the
    platform said, ``errors`` (P,) the standard error of that for the test's size, ``prior`` (K,) the shares of the
    cells before any score was known; a large ``concentration`` of the Dirichlet believes the prior.

    Raises `DataError` if shapes differ or an error or the concentration is not positive.
    """
    if cells.shape != (len(scores), len(prior)) or errors.shape != scores.shape:
        raise DataError(f"past scores: cells of shape {cells.shape} for {len(scores)} scores and {len(prior)} shares")
    if not (np.all(errors > 0) and concentration > 0):
        raise DataError("past scores: standard errors and concentration must be positive")
    weights = _weights(cells, scores, errors, prior, concentration)
    left_out = []
    for i in range(len(scores) if len(scores) > 1 else 0):
        rest = np.arange(len(scores)) != i
        others = _weights(cells[rest], scores[rest], errors[rest], prior, concentration)
        left_out.append(float(scores[i] - cells[i] @ others))
    few = f"{len(scores)} past scores are too few to tell corruptions apart; {ENOUGH} are the least"
    warning = few if len(scores) < ENOUGH else ""
    return Explanation(tuple(weights.tolist()), tuple(left_out), warning)


def _weights(cells: Array, scores: Array, errors: Array, prior: Array, concentration: float) -> Array:
    used = prior > 0
    p = prior[used] / prior.sum()
    spread = np.sqrt(p * (1 - p) / (concentration + 1)) + 1e-9
    rows = [cells[:, used] / errors[:, None], np.diag(1 / spread), np.full((1, len(p)), SUM_WEIGHT)]
    found, _ = nnls(np.concatenate(rows), np.concatenate([scores / errors, p / spread, [SUM_WEIGHT]]))
    out = np.zeros(len(prior))
    out[used] = found / found.sum()
    return out
