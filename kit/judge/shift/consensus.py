"""What all models together make of a row, what follows for their scores, and how they err together.

Confidence and agreement judge every model by itself and by the others as they are. Under a shift some models break and
others do not; a pool whose weights were fitted on stressed rows, whose labels are known, knows which. The score of rows
without labels, by any metric, is what it is if labels follow this pool: they are drawn from its posterior, and every
model is scored by them. The draws of a row are spread evenly (systematic sampling), so that few are enough.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.errors import DataError
from kit.judge.blend.logit import fit_logit_pool
from kit.judge.metrics import Array
from kit.judge.score import lookup
from kit.judge.shift.belief import TINY
from kit.judge.shift.evidence import VOTES, Evidence
from kit.judge.units import LEFT_OUT
from kit.runtime.pool import softmax

SOFT = 0.01  # keeps logarithms of probabilities finite and outliers near
SCALE = 0.3  # standard deviation of a model's weight around the plain mean's
SCALE_BY_CLASS = 0.17  # of the weight that a class of a model has for a class
STEPS = 500
WORK = 5e7  # rows * models * classes^2, some ten seconds; beyond it a model has one weight for all classes
DRAWS = 10
# Numbers that a metric of all rows together is computed of for every model, in all draws; some five seconds of the AUC.
SEEN = 5e6
SLOPES = (0.5, 2.0)
LEAST_RUN = 0.01  # between clean and stressed rows, below which there is no slope
LEAST_SPREAD = 0.005  # standard deviation of a model on its own, so that no covariance is singular
CORRUPTIONS = 2  # as many, equally frequent, make errors as wide as those on a test
LEAST_LUCK = 0.01  # of the mean variance of luck: a model without any is like none
MEDIAN = 0.6745  # of the absolute values of a standard normal distribution
SHRINKAGES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the models' error covariance to one by what they say


@dataclass(frozen=True, eq=False)
class Consensus:
    """A log-linear pool of the plain mean and M models: ``weights`` (1 + M, C, C) and ``bias`` (C,)."""

    weights: Array
    bias: Array

    def posterior(self, proba: NDArray[np.floating]) -> Array:
        """(R, C) probabilities of the classes from those of the models, (M, R, C)."""
        return np.asarray(softmax(np.tensordot(_logs(proba), self.weights, ([0, 2], [0, 1])) + self.bias), np.float64)


def learn(proba: NDArray[np.floating], y: NDArray[np.integer]) -> Consensus:
    """Fit on held-out rows: probabilities (M, N, C) and labels (N,); a weight for every model, 1/M at first."""
    logs, identity = _logs(proba), np.eye(proba.shape[2])
    ridge = np.full(len(logs) + len(identity), SCALE**-2.0)
    pool = fit_logit_pool(logs, logs[0], np.asarray(y, np.int64), ridge)
    slopes, bias = np.split(pool.theta, [len(logs)])
    return Consensus((slopes + (np.arange(len(logs)) == 0))[:, None, None] * identity, bias)


def learn_by_class(proba: NDArray[np.floating], y: NDArray[np.integer]) -> Consensus:
    """The same with a weight for every class of every model in every class, which knows what models mistake for what.

    A stacked generalisation (Wolpert 1992) by multinomial logistic regression with a ridge.
    """
    classes = proba.shape[2]
    if proba.size * classes > WORK:
        return learn(proba, y)
    # One more row of every class, on which all agree: there is none without a row.
    sure = np.eye(classes)[None].repeat(len(proba), 0)
    logs = np.moveaxis(_logs(np.concatenate([proba, sure], axis=1)), 1, 0)
    features = logs.reshape(len(logs), -1)
    middle = features.mean(0)  # the fit takes fewer steps from there
    with threadpool_limits(1):  # more threads wait for each other
        fitted = LogisticRegression(C=SCALE_BY_CLASS**2, max_iter=STEPS, tol=1e-3)
        fitted.fit(features - middle, np.r_[y, np.arange(classes)])
    weights, bias = fitted.coef_, fitted.intercept_ - fitted.coef_ @ middle
    if classes == 2:
        weights, bias = np.r_[-weights, weights] / 2, np.r_[-bias, bias] / 2
    return Consensus(np.moveaxis(weights.reshape(classes, -1, classes), 0, 2), bias)


def _logs(proba: NDArray[np.floating]) -> Array:
    soft = (np.asarray(proba, np.float64) + SOFT) / (1 + SOFT * proba.shape[2])
    return np.asarray(np.log(np.concatenate([soft.mean(0)[None], soft])), np.float64)


def believed(evidence: Evidence, proba: Array, posterior: Array) -> Array:
    """(D, M, R) `Evidence.values` of rows (M, R, C), by answers drawn from the ``posterior`` (Q, C') of questions."""
    rng, edges, draws, found = np.random.default_rng(0), posterior.cumsum(1)[:, :-1], draws_for(evidence), []
    starts = rng.random(len(posterior))
    # Of the votes of a picture so many are one draw that they agree as often as on rows held out.
    if evidence.task.kind == "shares":
        agree, chance = ((evidence.y**2).sum(1).mean() * VOTES - 1) / (VOTES - 1), (posterior**2).sum(1).mean()
        drawn_once = rng.random(len(starts)) ** 2 < (agree - chance) / max(1 - chance, TINY)
        starts = np.where(drawn_once, rng.random(len(starts) // VOTES).repeat(VOTES), starts)
    for draw in range(draws):
        answers = (((starts + draw / draws) % 1)[:, None] > edges).sum(1)
        try:
            found.append(evidence.values(evidence.truth(answers), proba))
        except DataError:  # as of an AUC where all rows drawn are of one class
            answers[posterior.argmax(0)] = np.arange(posterior.shape[1])
            found.append(evidence.values(evidence.truth(answers), proba))
    return np.stack(found)


def draws_for(evidence: Evidence) -> int:
    """`DRAWS`, or as few as 2 where a metric of all rows together, which averages over them, is slow to compute."""
    metric = lookup(evidence.metric)
    cost = 0 if metric.rows else evidence.stressed.size * (LEFT_OUT if metric.measure.own else 1)
    return int(np.clip(SEEN / max(cost, 1), 2, DRAWS))


@dataclass(frozen=True)
class Line:
    """What puts believed scores right: the score is ``constant`` + ``slope`` * what is believed."""

    constant: float
    slope: float

    def rate(self, values: Array) -> Array:
        """(R,) values of rows, whose mean is the score."""
        return np.asarray(self.constant + self.slope * values, np.float64)


def anchored(clean: Array, stressed: Array, at_clean: float, at_stress: float, unit: float = 1.0) -> Line:
    """The line through what is believed of (N,) clean and (S,) stressed rows and their scores.

    Exact at the clean end: without a shift the forecast is the clean score.
    """
    raw, run = float(clean.mean()), float(clean.mean() - stressed.mean())
    slope = float(np.clip((at_clean - at_stress) / run, *SLOPES)) if abs(run) > LEAST_RUN * unit else 1.0
    return Line(at_clean - slope * raw, slope)


def shared_luck(values: Array) -> Array:
    """(M, M) covariance of the values of a row (D, M, R), if labels are those of the D draws."""
    centred = values - values.mean(0)
    return np.asarray(np.einsum("dmr,dnr->mn", centred, centred) / (len(values) * values.shape[2]), np.float64)


def alike(luck: Array) -> Array:
    """(M, M) correlation of the values, of the covariance ``luck`` that `shared_luck` gives."""
    deviation = np.sqrt(np.maximum(np.diag(luck), max(LEAST_LUCK * np.diag(luck).mean(), 1e-12)))
    return np.asarray(luck / deviation / deviation[:, None], np.float64)


def covariance(errors: Array, lucks: Array, here: Array, unit: float = 1.0) -> Array:
    """(M, M) covariance of the errors on a test on which the models are `alike` as ``here`` (M, M) says.

    Second moments of ``errors`` (M, G) over families, shrunk to equal variances with those correlations, because labels
    other than it believes make a forecast wrong, as luck does. The shrinkage is the one under which families left out
    are likeliest; the scale is that of the median error. ``lucks`` (G, M, M) is `shared_luck` on a family over the
    number of its rows: how far errors are from those on any number of rows, which is no error of the forecast.
    """
    seen, own = errors.shape[1], (LEAST_SPREAD * unit) ** 2 * np.eye(len(errors))
    if seen < 2:
        return np.asarray(errors @ errors.T + own, np.float64)
    likelihoods = []
    for share in SHRINKAGES:
        total = 0.0
        for left in range(seen):
            others = np.arange(seen) != left
            found = _shrunk(_moments(errors[:, others], lucks[others]), alike(lucks[left]), share)
            values, vectors = np.linalg.eigh(found + lucks[left] + own)
            total += float(-0.5 * (np.log(values).sum() + ((vectors.T @ errors[:, left]) ** 2 / values).sum()))
        likelihoods.append(total)
    # A test holds several corruptions, whose errors partly cancel out, but for what all of them have in common.
    common = errors.mean(1)
    mixed = (_moments(errors, lucks) + (CORRUPTIONS - 1) * np.outer(common, common)) / CORRUPTIONS
    # A few families of which it is far wrong, as of every unbounded metric, would make all intervals wide.
    usual = (np.median(np.abs(errors)) / MEDIAN) ** 2 / max(float((errors**2).mean()), TINY)
    return np.asarray(usual * _shrunk(mixed, here, SHRINKAGES[int(np.argmax(likelihoods))]) + own)


def _moments(errors: Array, lucks: Array) -> Array:
    """Second moments without those of luck; what luck leaves of no direction is negative."""
    values, vectors = np.linalg.eigh(errors @ errors.T / errors.shape[1] - lucks.mean(0))
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T, np.float64)


def _shrunk(moments: Array, correlation: Array, share: float) -> Array:
    return np.asarray((1 - share) * moments + share * np.diag(moments).mean() * correlation, np.float64)
