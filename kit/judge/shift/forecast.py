"""What the leaderboard will say, with an interval, before it says it.

Accuracies of M models on one test are taken as jointly Gaussian: a mean, and a covariance that says how models err
together. Past scores of some of them then correct the others (Gaussian conditioning, as in kriging).

Without test pictures mean and covariance are those of a Dirichlet-distributed mixture of the stressed cells. With them
the mean is `kit.judge.shift.correctness`, and the covariance is how wrong that was for corruptions left out of its fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from kit.errors import DataError
from kit.images.corrupt.mixture import CLEAN, Mixture
from kit.judge.metrics import Array
from kit.judge.shift.consensus import Consensus, learn
from kit.judge.shift.correctness import Calibrated, fit, logit, row_features
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.together import LEAST_SPREAD, alike, covariance, shared_luck

# Of the Dirichlet over cells, before and after past scores: a test is a mixture of few corruptions, not of all.
CONCENTRATION = 3.0
GROUPS = 5  # of families, each left out once
DOUBT = 1.5  # standard errors below which a drop counts as none
SURE = 3.0  # standard errors from which on a test counts as shifted


@dataclass(frozen=True)
class Forecast:
    """One model's expected accuracy on the test with its interval, and its accuracies out of fold."""

    name: str
    value: float
    low: float
    high: float
    clean: float
    stressed: float
    basis: str  # "mixture", or "test pictures" where their predictions were given
    past: int  # the scores it rests on


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of the models' accuracies on one test before its pictures are drawn."""

    mean: Array  # (M,)
    covariance: Array  # (M, M)
    # (M, M) covariance of being right on one picture of it: models that say the same are right and wrong on the same
    # pictures, so that the score of one tells the luck of the other.
    rows: Array


def believe(evidence: Evidence, mixture: Mixture) -> Belief:
    """Mean and covariance before past scores: the slow part, to be kept while scores come in."""
    if evidence.test is None:
        return from_mixture(evidence.cells(mixture), mixture.shares, np.cov(evidence.stressed_right.astype(float)))
    return from_test(calibrate(evidence), evidence.test)


def summarise(
    evidence: Evidence, belief: Belief, test_size: int, past: Mapping[str, float], level: float
) -> tuple[Forecast, ...]:
    """Condition on past scores, add the noise of the test's size and put into words."""
    unknown = sorted(set(past) - set(evidence.names))
    if unknown:
        raise DataError(f"forecast: no predictions for {unknown[0]!r}, which has a score")
    known = np.array([evidence.names.index(name) for name in past], int)
    mean, variance = condition(belief, known, np.array(list(past.values()), float), test_size)
    half = norm.ppf(0.5 + level / 2) * np.sqrt(np.maximum(variance, 0))
    clean, stressed = evidence.clean_right.mean(1), evidence.stressed_right.mean(1)
    basis = "mixture" if evidence.test is None else "test pictures"
    columns = [*(np.clip(x, 0, 1) for x in (mean, mean - half, mean + half)), clean, stressed]
    lines = zip(evidence.names, np.stack(columns, axis=1).tolist(), strict=True)
    return tuple(
        Forecast(name, value, low, high, right, hurt, basis, len(past))
        for name, (value, low, high, right, hurt) in lines
    )


def condition(belief: Belief, known: NDArray[np.int64], scores: Array, test_size: int) -> tuple[Array, Array]:
    """Mean and variance (M,) of the scores on ``test_size`` pictures once models ``known`` (P,) have ``scores`` (P,).

    A model with a score is forecast by it.
    """
    total = belief.covariance + belief.rows / test_size
    if not len(known):
        return belief.mean, np.diag(total)
    seen = total[np.ix_(known, known)]
    gain = np.linalg.solve(seen, total[known]).T
    return belief.mean + gain @ (scores - belief.mean[known]), np.diag(total - gain @ total[known])


def from_mixture(cells: Array, shares: Array, rows: Array) -> Belief:
    """Moments of ``cells`` (M, K) under Dirichlet weights with mean ``shares`` and `CONCENTRATION`.

    ``rows`` (M, M) is the covariance of being right on a stressed row.
    """
    mean = cells @ shares
    centred = cells - mean[:, None]
    covariance = (centred * shares) @ centred.T / (CONCENTRATION + 1)
    return Belief(mean, covariance + LEAST_SPREAD**2 * np.eye(len(cells)), np.atleast_2d(rows))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What does not depend on the test: the consensus, and how right each of M models is."""

    consensus: Consensus
    models: tuple[Calibrated, ...]
    before: Array  # (M, N) rates of the clean rows
    common: Array  # (N, 2) their `common_signs`
    errors: Array  # (M, G) forecast less accuracy for each family, fitted without its group
    together: Array  # (G, M, M) how `alike` the models are on the family's rows


def calibrate(evidence: Evidence) -> Calibration:
    """Fit `correctness` for every model, and again without each group of families to see how wrong it is then."""
    every = np.ones(len(evidence.rows), bool)
    consensus, clean, models = _fitted(evidence, every)
    before = np.stack([model.rate(x) for model, x in zip(models, clean, strict=True)])
    common = common_signs(consensus.posterior(evidence.clean), evidence.clean.argmax(2))
    return Calibration(consensus, models, before, common, *_left_out(evidence))


def from_test(calibration: Calibration, test: NDArray[np.floating]) -> Belief:
    """`correctness` on the test's predictions (M, R, C); the covariance from corruptions left out of its fit."""
    posterior = calibration.consensus.posterior(test)
    pairs = zip(calibration.models, row_features(test, posterior), calibration.before, strict=True)
    share = shifted(calibration.common, common_signs(posterior, test.argmax(2)))
    mean = [_without_doubt(model.rate(x), before, share) for model, x, before in pairs]
    luck = shared_luck(posterior, test.argmax(2))
    return Belief(np.array(mean), covariance(calibration.errors, calibration.together, alike(luck)), luck)


def common_signs(posterior: Array, predicted: NDArray[np.integer]) -> Array:
    """(R, 2) how sure all models together are of a row, and which share of them says the commonest class."""
    top = posterior.max(1)
    votes = np.stack([(predicted == c).mean(0) for c in range(posterior.shape[1])], axis=1)
    return np.stack([logit(top), votes.max(1)], axis=1)


def shifted(before: Array, here: Array) -> float:
    """How far a test is believed to be shifted at all, 0 to 1, by the means of (N, D) and (R, D) signs.

    Single models may seem to move where nothing is shifted, such as those whose folds' mean is better than each fold.
    """
    error = np.sqrt(before.var(0) / len(before) + here.var(0) / len(here))
    return _firm(float((np.abs(here.mean(0) - before.mean(0)) / np.maximum(error, 1e-9)).max()))


def _firm(doubts: float) -> float:
    """Firm shrinkage (Gao and Bruce 1997): nothing below `DOUBT` standard errors, all from `SURE` on."""
    return float(np.clip((doubts - DOUBT) / (SURE - DOUBT), 0, 1))


def _without_doubt(rates: Array, before: Array, share: float) -> float:
    """The mean rate, its distance from the clean score shrunk as far as sampling explains it (James-Stein).

    ``share`` is how far the test is known to be shifted. A model's own move may be clearer than that, but of many
    models some move by chance: alone it must be `DOUBT` standard errors clearer.
    """
    anchor = float(before.mean())
    move, error = float(rates.mean()) - anchor, float(np.sqrt(rates.var() / len(rates) + before.var() / len(before)))
    if not move:
        return anchor
    certain = max(share, _firm(abs(move) / max(error, 1e-9) - DOUBT))
    return anchor + certain * move * max(0.0, 1 - (DOUBT * error / move) ** 2)


def _fitted(evidence: Evidence, rows: NDArray[np.bool_]) -> tuple[Consensus, list[Array], tuple[Calibrated, ...]]:
    """Consensus, features of the clean rows, and models of correctness from these stressed rows."""
    hurt, right = evidence.stressed[:, rows], evidence.stressed_right[:, rows]
    both = np.concatenate([evidence.clean, hurt], axis=1)
    consensus = learn(both, np.concatenate([evidence.y, evidence.y[evidence.rows[rows]]]))
    clean, stressed = (row_features(p, consensus.posterior(p)) for p in (evidence.clean, hurt))
    models = range(len(clean))
    return consensus, clean, tuple(fit(clean[i], evidence.clean_right[i], stressed[i], right[i]) for i in models)


def _left_out(evidence: Evidence) -> tuple[Array, Array]:
    families = sorted(set(evidence.family.tolist()) - {CLEAN})
    count = len(evidence.names)
    errors, together = np.zeros((count, len(families))), np.zeros((len(families), count, count))
    for group in range(min(GROUPS, len(families))):
        held = families[group::GROUPS]
        consensus, _, models = _fitted(evidence, ~np.isin(evidence.family, held))
        for family in held:
            rows, place = evidence.family == family, families.index(family)
            hurt = evidence.stressed[:, rows]
            posterior, right = consensus.posterior(hurt), evidence.stressed_right[:, rows]
            features = row_features(hurt, posterior)
            errors[:, place] = [model.rate(x).mean() for model, x in zip(models, features, strict=True)] - right.mean(1)
            together[place] = alike(shared_luck(posterior, hurt.argmax(2)))
    return errors, together
