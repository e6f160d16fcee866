"""The score of rows without labels, by any metric: what it is if labels follow what all models together make of them.

Average thresholded confidence and its kin use a model's own confidence, which a shift makes lie; agreement methods use
other models, and lose the confidence. Here labels are drawn from the posterior of `kit.judge.shift.consensus`, which
corrupted held-out rows, whose labels are known, have taught whom to believe, and every model is scored by them. The
draws of a row are spread evenly (systematic sampling): few of them hold every class about as often as the posterior.
"""

from dataclasses import dataclass

import numpy as np

from kit.judge.metrics import Array
from kit.judge.shift.evidence import Evidence

DRAWS = 10
SLOPES = (0.5, 2.0)
LEAST_RUN = 0.01  # between clean and stressed rows, below which there is no slope


def believed(evidence: Evidence, proba: Array, posterior: Array) -> Array:
    """(D, M, R) `Evidence.values` of the rows of (M, R, C) probabilities, by labels drawn from ``posterior`` (R, C)."""
    starts, edges = np.random.default_rng(0).random(len(posterior)), posterior.cumsum(1)[:, :-1]
    points = [(starts + draw / DRAWS) % 1 for draw in range(DRAWS)]
    return np.stack([evidence.values((point[:, None] > edges).sum(1), proba) for point in points])


@dataclass(frozen=True)
class Line:
    """What puts believed scores right: the score is ``constant`` + ``slope`` * what is believed."""

    constant: float
    slope: float

    def rate(self, values: Array) -> Array:
        """(R,) values of rows, whose mean is the score."""
        return np.asarray(self.constant + self.slope * values, np.float64)


def anchored(clean: Array, stressed: Array, at_clean: float, at_stress: float) -> Line:
    """The line through what is believed of (N,) clean and (S,) stressed rows and their scores.

    Exact at the clean end: without a shift the forecast is the clean score.
    """
    raw, run = float(clean.mean()), float(clean.mean() - stressed.mean())
    slope = float(np.clip((at_clean - at_stress) / run, *SLOPES)) if abs(run) > LEAST_RUN else 1.0
    return Line(at_clean - slope * raw, slope)
