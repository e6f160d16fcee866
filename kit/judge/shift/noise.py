"""Wrong labels among the held-out rows, which make every model look worse than a test with right ones would.

Confident learning counts the rows that are surely predicted to be of another class, the mistakes of the models among
them. Here the models may be mistaken: a label is drawn from what they say of the row, more or less sharply, or with
probability ``share`` evenly from the other classes. Mistakes are what calibrated probabilities expect; only labels that
they hold to be next to impossible, more of them than there should be, are evidence of wrong ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.judge.metrics import Array
from kit.runtime.pool import softmax

TINY = 1e-12
DOUBT = 1.5  # standard errors below which a drop, or a share, counts as none
SURE = 3.0  # standard errors from which on it counts in full
SHARES = np.r_[0.0, np.geomspace(0.002, 0.3, 40)]
SHARPNESS = np.geomspace(0.4, 3.0, 25)  # reciprocal temperatures
TRUST = 0.5  # relative doubt beside sampling's: models may be surer of mistakes, and the test's labels as wrong


@dataclass(frozen=True, eq=False)
class Noise:
    """The share of wrong labels and its standard error."""

    share: float
    error: float

    def cleared(self, rates: Array, classes: int) -> Array:
        """Rates of being right by the labels given, as they would be by right ones; a wrong label is any other one."""
        lucky = self.share / (classes - 1)
        return np.asarray((rates - lucky) / (1 - self.share - lucky))


NONE = Noise(0.0, 0.0)


def firm(doubts: float) -> float:
    """Firm shrinkage (Gao and Bruce 1997): nothing below `DOUBT` standard errors, all from `SURE` on."""
    return float(np.clip((doubts - DOUBT) / (SURE - DOUBT), 0, 1))


def wrong_labels(proba: Array, y: NDArray[np.integer]) -> Noise:
    """Estimate from out-of-fold probabilities (N, C) and the labels given (N,), by the mean of the likelihood.

    For every share the sharpness is the likeliest. What is not clear is shrunk to none.
    """
    logs, rows, best = np.log(np.maximum(proba, TINY)), np.arange(len(y)), np.full(len(SHARES), -np.inf)
    for sharpness in SHARPNESS:
        own = softmax(logs * sharpness)[rows, y]
        mixed = (1 - SHARES)[:, None] * own + SHARES[:, None] * (1 - own) / (proba.shape[1] - 1)
        best = np.maximum(best, np.log(np.maximum(mixed, TINY)).sum(1))
    weights = np.exp(best - best.max()) * np.gradient(SHARES)
    weights /= weights.sum()
    share = float(weights @ SHARES)
    sampling = float(np.sqrt(weights @ (SHARES - share) ** 2))
    share *= firm(share / max(sampling, TINY))
    return Noise(share, float(np.hypot(sampling, TRUST * share)))
