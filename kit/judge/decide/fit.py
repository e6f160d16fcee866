"""Fit the decision of a blend, and keep it only where it is not worse than the plain rule out of fold."""

from dataclasses import dataclass

import numpy as np

from kit.judge import score
from kit.judge.decide.rules import best, is_fitted, plain
from kit.judge.metrics import Array
from kit.runtime.decide import Decision, decide


@dataclass(frozen=True)
class Decided:
    """A decision, None for the most probable class, and what it gains out of fold over the plain rule, with its error.

    ``kept`` is False where it lost more than an error, and the plain rule stands in its place.
    """

    decision: Decision | None
    gain: float = 0.0
    se: float = 0.0
    kept: bool = True


def fit(metric: str, y: Array, proba: Array, group: Array, unit: Array | None = None) -> Decided:
    """Return the decision for a metric of answers from calibrated out-of-fold probabilities (N, C), or (N, L) labels.

    The truth is that of `kit.judge.metrics`. A decision is fitted to the probabilities alone; the truth only tells
    whether it may stand: it is compared with the plain rule on each group (N,) of rows under the rule of the other
    groups, and not kept where it is worse by more than one standard error, over units (N,).
    """
    labels = y.ndim == 2 and y.dtype.kind != "f"
    simple = plain(metric, proba, labels)
    if not is_fitted(metric, labels=labels):
        return Decided(best(metric, proba, labels))
    answers, before = np.empty_like(decide(simple, proba)), decide(simple, proba)
    for k in np.unique(group):
        answers[group == k] = decide(best(metric, proba[group != k], labels), proba[group == k])
    gain, se = worth(metric, y, answers, before, unit)
    if gain < -se:
        return Decided(simple, gain, se, kept=False)
    return Decided(best(metric, proba, labels), gain, se)


def said(metric: str, proba: Array, answers: Array) -> Array:
    """What a metric is given: probabilities where it sees more than answers."""
    return proba if score.lookup(metric).needs_proba else answers


def worth(metric: str, y: Array, answers: Array, before: Array, unit: Array | None = None) -> tuple[float, float]:
    """Return what answers gain over others of the same rows, positive where they are better, and its standard error."""
    gain = score.lookup(metric).sign * (score.score(metric, y, answers) - score.score(metric, y, before))
    if np.array_equal(answers, before):
        return 0.0, 0.0
    return gain, float(score.standard_errors(metric, y, answers[None], before, unit)[0])
