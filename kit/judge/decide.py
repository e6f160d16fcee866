"""Decisions: what to answer where probabilities are known and a metric counts answers.

A rule is the best under probabilities that are taken for true, and kept only where it is not worse out of fold.

A metric of counts is highest where every row is answered by the derivative of the metric at the counts that these
answers are expected to have (Narasimhan et al. 2015; for F1 the threshold is half of it, Ye et al. 2012; for kappa the
grade expected, stretched about the mean by one over kappa). Such a point is found by going round a few times. Nothing
is fitted to labels, which are few for a rare class and would be learnt by heart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from kit.config.competition import METRICS as MEASURES
from kit.config.own import check_width
from kit.judge import score
from kit.judge.metrics.counts import Counts, divide, f_values
from kit.judge.metrics.rows import Array
from kit.judge.metrics.table import METRICS, OfCounts
from kit.runtime.decide import Decision
from kit.runtime.decide import decide as apply

__all__ = ["Decided", "apply", "fit", "is_fitted", "said", "worth"]

COST = "expected_cost"  # the least expected one is best
ROUNDS, BOUNDS = 30, 101
PSEUDO = 1.0  # rows added to every class, and by which a threshold is drawn to a half: rules of rare classes are shrunk

Gains = Callable[[Counts], tuple[Array, Array]]
"""Derivative (C,) of a metric in the hits of each class, and in how often it is said."""


def _f(counts: Counts, *, beta: float = 1.0, weights: str = "equal") -> tuple[Array, Array]:
    total = beta**2 * counts.true + counts.said
    values = f_values(counts, beta)
    if weights == "micro":
        total, hits = np.full(len(total), total.sum()), counts.hits.sum()
        values = np.full(len(total), (1.0 + beta**2) * hits / total[0])
    of = {"weighted": counts.true, "second": np.eye(len(total))[1]}.get(weights, np.ones(len(total)))
    return of * divide(np.full(len(total), 1.0 + beta**2), total), -of * divide(values, total)


def _balanced_accuracy(counts: Counts) -> tuple[Array, Array]:
    present, absent = 1.0 / np.maximum(counts.true, 1e-9), np.zeros(len(counts.true))
    if counts.labels:
        absent = 1.0 / np.maximum(counts.rows - counts.true, 1e-9)
    return present + absent, -absent


def _mcc(counts: Counts) -> tuple[Array, Array]:
    rows, true, said = counts.rows, counts.true, counts.said
    if counts.labels:
        top, left = rows * counts.hits - true * said, np.maximum(said * (rows - said), 1e-9)
        return np.full(len(true), rows), -true - top * (rows - 2.0 * said) / (2.0 * left)
    top, left = rows * counts.hits.sum() - true @ said, max(float(rows**2 - said @ said), 1e-9)
    return np.full(len(true), rows), top * said / left - true


GAINS: dict[str, Gains] = {
    "balanced_accuracy": _balanced_accuracy,
    "f1": partial(_f, weights="second"),
    "macro_f1": _f,
    "weighted_f1": partial(_f, weights="weighted"),
    "micro_f1": partial(_f, weights="micro"),
    "macro_f2": partial(_f, beta=2.0),
    "micro_f2": partial(_f, beta=2.0, weights="micro"),
    "mcc": _mcc,
}
POWERS = {"qwk": 2, "lwk": 1}
BEST = {"top3_accuracy": 3, "top5_accuracy": 5, "map3": 3, "map5": 5}
# Of classes that exclude each other these are the accuracy, which the most probable class serves best.
PLAIN = ("micro_f1", "micro_f2")
FIXED: dict[str, Decision] = {"sample_f1": {"kind": "overlap"}}
FIXED |= {name: {"kind": "best", "k": k} for name, k in BEST.items()}


def plain(metric: str, proba: Array, labels: bool) -> Decision | None:
    """The rule without any fitting: the most probable class or the k best, labels above a half."""
    if labels:
        return {"kind": "thresholds", "thresholds": [0.5] * proba.shape[1]}
    return FIXED.get(metric)


def is_fitted(metric: str, *, labels: bool = False) -> bool:
    """Whether there is anything to fit for a metric."""
    return metric in POWERS or MEASURES[metric].source == COST or (metric in GAINS and (labels or metric not in PLAIN))


def best(metric: str, proba: Array, labels: bool) -> Decision | None:
    """Return the rule with the highest metric that probabilities (N, C) let expect; None: the most probable class."""
    rule = plain(metric, proba, labels)
    if not is_fitted(metric, labels=labels):
        return FIXED.get(metric, rule)
    if MEASURES[metric].source == COST:
        check_width(metric, proba.shape[1])
        return {"kind": "costs", "costs": [list(line) for line in MEASURES[metric].table]}
    found, highest = rule, -np.inf
    answers = apply(rule, proba)
    for _ in range(ROUNDS):
        counts = _expected(proba, answers, labels)
        value = float(_of_counts(metric)(counts))
        if value > highest + 1e-12:
            found, highest = rule, value
        rule = _rule(metric, counts)
        before, answers = answers, apply(rule, proba)
        if (before == answers).all():
            return rule
    return found


def bounded(metric: str, proba: Array, *, unknown: int) -> Decision:
    """The best rule that answers the class ``unknown`` where no other class reaches a bound, as `best`.

    That is a rule of gains, in which the bound is the gain of that class whatever its probability (Chow 1970).
    """
    rule = best(metric, proba, labels=False) or {}
    scale, offset = (np.array(rule.get(key, otherwise)) for key, otherwise in (("scale", [1.0]), ("offset", [0.0])))
    gains = np.delete(proba * scale + offset, unknown, axis=1).max(axis=1)
    found, highest = rule, -np.inf
    for bound in np.unique(np.quantile(gains, np.linspace(0, 1, BOUNDS))):
        lines = [np.broadcast_to(each, proba.shape[1]).astype(float) for each in (scale, offset)]
        lines[0][unknown], lines[1][unknown] = 0.0, bound
        tried: Decision = {"kind": "gains", "scale": lines[0].tolist(), "offset": lines[1].tolist()}
        answers = apply(tried, proba)
        counts = _expected(proba, answers, labels=False)
        value = float(counts.hits.sum()) if metric == "accuracy" else float(_of_counts(metric)(counts))
        found, highest = (tried, value) if value > highest else (found, highest)
    return found


def _of_counts(metric: str) -> OfCounts:
    found = METRICS[metric].counts
    assert found is not None
    return found


def _expected(proba: Array, answers: Array, labels: bool) -> Counts:
    """The counts that answers (N,) or (N, C) are expected to have."""
    rows, classes = proba.shape
    far = np.zeros(2)
    if labels:
        said, hits = answers.sum(axis=0), (proba * answers).sum(axis=0)
        return Counts(proba.sum(axis=0), said.astype(float), hits, far, np.array(float(rows)), labels)
    said = np.bincount(answers, minlength=classes).astype(float)
    hits = np.bincount(answers, proba[np.arange(rows), answers], minlength=classes)
    if classes <= 100:  # grades, which alone have a distance
        apart = abs(np.arange(classes)[:, None] - np.arange(classes))
        far = np.array([(proba * (apart[answers] ** power)).sum() for power in (1, 2)])
    return Counts(proba.sum(axis=0), said, hits, far, np.array(float(rows)), labels)


def _rule(metric: str, counts: Counts) -> Decision:
    if metric in POWERS:
        grades = np.arange(len(counts.true))
        cost = abs(grades[:, None] - grades) ** float(POWERS[metric])
        disagreement = 1.0 - float(_of_counts(metric)(counts))
        return {"kind": "costs", "costs": (cost - disagreement * (counts.true / counts.rows) @ cost).tolist()}
    if counts.labels:
        scale, offset = GAINS[metric](counts)
        thresholds = np.clip(divide(-offset, scale), 0.0, 1.0)
        shrunk = (counts.true * thresholds + PSEUDO * 0.5) / (counts.true + PSEUDO)
        return {"kind": "thresholds", "thresholds": shrunk.tolist()}
    rows = counts.rows + PSEUDO * len(counts.true)
    scale, offset = GAINS[metric](counts._replace(true=counts.true + PSEUDO, rows=rows))
    size = float(scale.max())
    return {"kind": "gains", "scale": (scale / size).tolist(), "offset": (offset / size).tolist()}


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
    found, before = Decided(rule(proba)), apply(simple, proba)
    if is_fitted(metric, labels=labels):
        answers = _nested(rule, proba, group)
        gain, se = worth(metric, y, answers, before, unit)
        found = Decided(simple if gain < -se else found.decision, gain, se, gain >= -se)
        before = answers if found.kept else before
    # Of which metrics of classes probabilities say what to expect under a bound on confidence.
    if unknown is None or (metric != "accuracy" and (metric not in GAINS or metric in PLAIN)):
        return found
    bound = partial(bounded, metric, unknown=unknown)
    gain, se = worth(metric, y, _nested(bound, proba, group), before, unit)
    return Decided(bound(proba), gain, se) if gain > se else found


def _nested(rule: Callable[[Array], Decision | None], proba: Array, group: Array) -> Array:
    """The answers to each group (N,) of rows under the rule of the others."""
    answers = [(group == k, apply(rule(proba[group != k]), proba[group == k])) for k in np.unique(group)]
    together = np.empty((len(proba), *answers[0][1].shape[1:]), answers[0][1].dtype)
    for inside, said in answers:
        together[inside] = said
    return together


def said(metric: str, proba: Array, answers: Array) -> Array:
    """What a metric is given: probabilities where it sees more than answers."""
    return proba if score.lookup(metric).measure.needs_proba else answers


def worth(metric: str, y: Array, answers: Array, before: Array, unit: Array | None = None) -> tuple[float, float]:
    """Return what answers gain over others of the same rows, positive where they are better, and its standard error."""
    gain = score.lookup(metric).sign * (score.score(metric, y, answers) - score.score(metric, y, before))
    if np.array_equal(answers, before):
        return 0.0, 0.0
    return gain, float(score.standard_errors(metric, y, answers[None], before, unit)[0])
