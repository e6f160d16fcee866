"""Fit the decision of a blend, and keep it only where it is not worse than the plain rule out of fold."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kit.judge import score
from kit.judge.decide.rules import best, bounded, is_countable, is_fitted, plain
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


def fit(
    metric: str, y: Array, proba: Array, group: Array, unit: Array | None = None, unknown: int | None = None
) -> Decided:
    """Return the decision for a metric of answers from calibrated out-of-fold probabilities (N, C), or (N, L) labels.

    The truth is that of `kit.judge.metrics`. A decision is fitted to the probabilities alone; the truth only tells
    whether it may stand: it is compared with the plain rule on each group (N,) of rows under the rule of the other
    groups, and not kept where it is worse by more than one standard error, over units (N,). A bound on the confidence
    below which the class ``unknown`` is answered has to be better than the rule without it by as much.
    """
    labels = y.ndim == 2 and y.dtype.kind != "f"
    simple, rule = plain(metric, proba, labels), partial(best, metric, labels=labels)
    found, before = Decided(rule(proba)), decide(simple, proba)
    if is_fitted(metric, labels=labels):
        answers = _nested(rule, proba, group)
        gain, se = worth(metric, y, answers, before, unit)
        found = Decided(simple if gain < -se else found.decision, gain, se, gain >= -se)
        before = answers if found.kept else before
    if unknown is None or not is_countable(metric):
        return found
    bound = partial(bounded, metric, unknown=unknown)
    gain, se = worth(metric, y, _nested(bound, proba, group), before, unit)
    return Decided(bound(proba), gain, se) if gain > se else found


def _nested(rule: Callable[[Array], Decision | None], proba: Array, group: Array) -> Array:
    """The answers to each group (N,) of rows under the rule of the others."""
    answers = [(group == k, decide(rule(proba[group != k]), proba[group == k])) for k in np.unique(group)]
    together = np.empty((len(proba), *answers[0][1].shape[1:]), answers[0][1].dtype)
    for inside, said in answers:
        together[inside] = said
    return together


def said(metric: str, proba: Array, answers: Array) -> Array:
    """What a metric is given: probabilities where it sees more than answers."""
    return proba if score.lookup(metric).needs_proba else answers


def worth(metric: str, y: Array, answers: Array, before: Array, unit: Array | None = None) -> tuple[float, float]:
    """Return what answers gain over others of the same rows, positive where they are better, and its standard error."""
    gain = score.lookup(metric).sign * (score.score(metric, y, answers) - score.score(metric, y, before))
    if np.array_equal(answers, before):
        return 0.0, 0.0
    return gain, float(score.standard_errors(metric, y, answers[None], before, unit)[0])
