"""What is believed of the models' scores on one test: cases with weights, each a normal distribution.

"Nothing is shifted" is one case, what a shift may be the other. Known scores of some models correct the others within
every case (Gaussian conditioning, as in kriging), and say by their likelihood which case it is.

Wrong labels among the held-out rows make every model look worse than a test with right ones would. Confident learning
counts the rows that are surely predicted to be of another class, the mistakes of the models among them. Here the models
may be mistaken: a label is drawn from what they say of the row, or with probability ``share`` evenly from the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from kit.judge.metrics import Array
from kit.runtime.pool import softmax

STEPS = 40  # of bisection
WIDEST = 9  # standard deviations
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


@dataclass(frozen=True, eq=False)
class Case:
    """A normal distribution of M scores, and how likely it is that it is this one."""

    weight: float
    mean: Array  # (M,)
    covariance: Array  # (M, M)

    def interval(self, level: float) -> Array:
        """(3, M) mean, lower and upper end."""
        half = ndtri(0.5 + level / 2) * np.sqrt(np.maximum(np.diag(self.covariance), 0))
        return np.stack([self.mean, self.mean - half, self.mean + half])


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of the models' scores on one test before its pictures are drawn.

    Where there are two cases the first is that nothing is shifted.
    """

    cases: tuple[Case, ...]
    # (M, M) covariance of the models' values on one picture of it: models that say the same are right and wrong on the
    # same pictures, so that the score of one tells the luck of the other.
    rows: Array
    noise: Noise = NONE  # the wrong labels that it makes up for

    def cleared(self, noise: Noise, classes: int) -> "Belief":
        """The belief on right labels, from one on labels of which some are wrong; the doubt of that is one of all."""
        means = [noise.cleared(case.mean, classes) for case in self.cases]
        cases = [
            replace(case, mean=mean, covariance=case.covariance + noise.error**2 * np.outer(mean, mean))
            for case, mean in zip(self.cases, means, strict=True)
        ]
        return Belief(tuple(cases), self.rows, noise)

    def moved(self, by: Array) -> "Belief":
        """The belief with all scores (M,) moved."""
        return replace(self, cases=tuple(replace(case, mean=case.mean + by) for case in self.cases))

    def given(self, known: NDArray[np.int64], scores: Array, test_size: int) -> "Belief":
        """The belief on scores of ``test_size`` pictures once models ``known`` (P,) have ``scores`` (P,).

        What is returned holds the luck of these pictures, and none is left in ``rows``. A model with a score is
        forecast by it.
        """
        cases, logs = [], []
        for case in self.cases:
            total, missed = case.covariance + self.rows / test_size, scores - case.mean[known]
            seen = total[np.ix_(known, known)]
            gain = np.linalg.solve(seen, total[known]).T
            surprise = missed @ np.linalg.solve(seen, missed) + np.linalg.slogdet(seen)[1]
            logs.append(np.log(case.weight) - surprise / 2)
            cases.append(Case(1.0, case.mean + gain @ missed, total - gain @ total[known]))
        weights = np.exp(np.array(logs) - max(logs))
        weighted = (replace(one, weight=w) for one, w in zip(cases, weights / weights.sum(), strict=True))
        return Belief(tuple(weighted), np.zeros_like(self.rows), self.noise)

    def quantiles(self, levels: Sequence[float]) -> Array:
        """(levels, M) of every model's score, by bisection."""
        weights = np.array([case.weight for case in self.cases])
        means = np.stack([case.mean for case in self.cases])
        spread = np.sqrt(np.maximum([np.diag(case.covariance) for case in self.cases], 1e-18))
        wanted = np.array(levels)[:, None]
        low, high = (means - WIDEST * spread).min(0) + 0 * wanted, (means + WIDEST * spread).max(0) + 0 * wanted
        for _ in range(STEPS):
            middle = (low + high) / 2
            below = np.tensordot(weights, ndtr((middle - means[:, None]) / spread[:, None]), 1) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)
