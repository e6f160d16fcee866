"""What the leaderboard will say, with an interval, before it says it.

A test is like the training set, or shifted (`kit.judge.shift.belief`). Without test pictures a shift is a mixture of
few stressed cells; with them `kit.judge.shift.consensus` says, and errs as for corruptions left out of its fit.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config.competition import METRICS
from kit.errors import DataError
from kit.images.corrupt.plan import CLEAN, Mixture
from kit.judge.metrics import Array
from kit.judge.shift import consensus as pool
from kit.judge.shift.belief import DOUBT, Belief, Case, firm, wrong_labels
from kit.judge.shift.evidence import Evidence

ACCURACY = "accuracy"
# Of the Dirichlet over cells, before and after past scores: a test is a mixture of few corruptions, not of all.
CONCENTRATION = 2.0
UNSHIFTED = 0.2  # what "the test is like the training set" weighs before anything is known of it
# By which share of its distance from the best score the mean of many folds is nearer to it than one fold on clean rows,
# and the doubt of that: .03 of the errors of scikit-learn's models, .06 to .1 of those of networks.
MEAN_OF_FOLDS = (0.05, 0.04)
DOUBT_OF_GAIN = 0.5  # relative, of what the mean of folds gains where their predictions of the test are known
GROUPS = 5  # of families, each left out once


@dataclass(frozen=True)
class Forecast:
    """One model's expected score on the test with its interval."""

    name: str
    value: float
    low: float
    high: float
    basis: str  # "mixture", or "test pictures" where their predictions were given
    past: int  # the scores it rests on
    # (weight, value, low, high) of what may be true of the test: that nothing is shifted, and that something is.
    cases: tuple[tuple[float, float, float, float], ...]


def believe(evidence: Evidence, mixture: Mixture) -> Belief:
    """What is believed before past scores: the slow part, to be kept while scores come in."""
    if evidence.test is None:
        found = from_mixture(evidence, mixture)
    else:
        found = from_test(calibrate(evidence), evidence.test, evidence.folds)
    if evidence.metric != ACCURACY or evidence.task.kind != "classes":
        return found
    posterior = pool.learn(evidence.clean, evidence.y).posterior(evidence.clean)
    return found.cleared(wrong_labels(posterior, evidence.y), posterior.shape[1])


def summarise(
    evidence: Evidence, belief: Belief, test_size: int, past: Mapping[str, float], level: float
) -> tuple[Forecast, ...]:
    """Condition on past scores, add the noise of the test's size and put into words."""
    unknown = sorted(set(past) - set(evidence.names))
    if unknown:
        raise DataError(f"forecast: no predictions for {unknown[0]!r}, which has a score")
    known = np.array([evidence.names.index(name) for name in past], int)
    found = belief.given(known, np.array(list(past.values()), float), test_size)
    ends = found.quantiles([0.5 - level / 2, 0.5, 0.5 + level / 2])
    basis = "mixture" if evidence.test is None else "test pictures"
    bounds = METRICS[evidence.metric].bounds
    lines = zip(evidence.names, ends.T.clip(*bounds).tolist(), strict=True)
    said = [[(case.weight, *one) for one in case.interval(level).T.clip(*bounds).tolist()] for case in found.cases]
    return tuple(
        Forecast(name, value, low, high, basis, len(past), tuple(cases[place] for cases in said))
        for place, (name, (low, value, high)) in enumerate(lines)
    )


def from_mixture(evidence: Evidence, mixture: Mixture, unshifted: float = UNSHIFTED) -> Belief:
    """Nothing is shifted, or the test is a mixture of cells under Dirichlet weights with `CONCENTRATION`."""
    cells, values, shares = evidence.cells(mixture), evidence.clean_values, mixture.shares
    best = next(filter(np.isfinite, METRICS[evidence.metric].bounds[::-1]), values.mean(1))  # or not known
    gain, doubt = ((best - values.mean(1)) * x * (1 - 1 / evidence.averaged) for x in MEAN_OF_FOLDS)
    centred = cells - (cells @ shares)[:, None]
    spread = (centred * shares) @ centred.T / (CONCENTRATION + 1)
    own = (pool.LEAST_SPREAD * evidence.unit) ** 2 * np.eye(len(cells))
    sampling = np.atleast_2d(np.cov(values)) / values.shape[1]
    kinds = ((unshifted, values.mean(1), sampling), (1 - unshifted, cells @ shares, spread))
    cases = tuple(Case(weight, mean + gain, around + np.outer(doubt, doubt) + own) for weight, mean, around in kinds)
    return Belief(cases, np.atleast_2d(np.cov(evidence.stressed_values)))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What does not depend on the test: the consensus, and what is believed of each of M models."""

    evidence: Evidence
    consensus: pool.Consensus
    lines: tuple[pool.Line, ...]
    before: Array  # (M, N) rates of the clean rows
    common: Array  # (N, 2) their `common_signs`
    errors: Array  # (M, G) forecast less score for each family, fitted without its group
    lucks: Array  # (G, M, M) `shared_luck` on the family's rows, over their number
    without: tuple[pool.Consensus, ...]  # fitted without each group


def calibrate(evidence: Evidence) -> Calibration:
    """Fit the consensus, and again without each group of families to see how wrong it is then."""
    consensus, lines, before = _fitted(evidence, np.ones(len(evidence.rows), bool))
    asked = evidence.questions(evidence.clean)
    common = common_signs(consensus.posterior(asked), asked, len(evidence.y))
    return Calibration(evidence, consensus, lines, before, common, *_left_out(evidence))


def from_test(
    calibration: Calibration, test: NDArray[np.floating], folds: NDArray[np.floating] | None = None
) -> Belief:
    """What is `believed` of the test's predictions (M, R, C); the covariance from corruptions left out of the fit.

    To it a quarter of the jackknife of what is said of this test is added (Efron and Stein 1981), which knows what on
    this test depends on the corruptions that were seen.

    The mean of folds is less sure of itself than a fold, and better: where the single ``folds`` (M, K, R', C) of every
    n-th row are known too, the score is that of a fold, and what their mean gains is added.
    """
    evidence, means, gains = calibration.evidence, test, np.zeros(len(test))
    singles = [test] if folds is None else list(np.moveaxis(folds, 1, 0))
    asked = [evidence.questions(single) for single in singles]
    posteriors = [calibration.consensus.posterior(one) for one in asked]
    few = slice(pool.draws_for(evidence))  # of folds, where a metric is slow
    values = [pool.believed(evidence, *pair).mean(0) for pair in zip(singles[few], posteriors, strict=False)]
    signs = [common_signs(*pair, singles[0].shape[1]) for pair in zip(posteriors, asked, strict=True)]
    share, posterior = shifted(calibration.common, np.mean(signs, 0)), np.mean(posteriors, 0)
    if folds is not None:
        means = test[:, :: -(-test.shape[1] // folds.shape[2])]
        gains -= np.mean([pool.believed(evidence, single, posterior).mean((0, 2)) for single in singles[few]], 0)
    of_mean = pool.believed(evidence, means, posterior)
    gains += 0.0 if folds is None else of_mean.mean((0, 2))
    rates = [line.rate(one) for line, one in zip(calibration.lines, np.mean(values, 0), strict=True)]
    mean = [_without_doubt(rate, before, share) for rate, before in zip(rates, calibration.before, strict=True)]
    luck = pool.shared_luck(of_mean)
    asked_of = evidence.questions(means)
    posteriors = [one.posterior(asked_of) for one in (calibration.consensus, *calibration.without)]
    whole, *others = (pool.believed(evidence, means, posterior).mean((0, 2)) for posterior in posteriors)
    moved = np.stack(others) - whole
    jackknife = (1 - 1 / len(moved)) * moved.T @ moved
    spread = pool.covariance(calibration.errors, calibration.lucks, pool.alike(luck), evidence.unit) + jackknife / 4
    spread += np.diag((DOUBT_OF_GAIN * gains) ** 2)
    return Belief((Case(1.0, mean + gains, spread),), luck)


def common_signs(posterior: Array, asked: NDArray[np.floating], pictures: int) -> Array:
    """(R, 2) how sure all models together are of a picture, and which share of them says the commonest class.

    ``posterior`` (Q, C') and what the models said, ``asked`` (M, Q, C'), are of the `Evidence.questions` of pictures.
    """
    top, predicted = posterior.max(1), asked.argmax(2)
    votes = np.stack([(predicted == c).mean(0) for c in range(posterior.shape[1])], axis=1)
    signs = np.stack([np.log((top + pool.SOFT) / (1 + pool.SOFT - top)), votes.max(1)], axis=1)
    return np.asarray(signs.reshape(pictures, -1, 2).mean(1))


def shifted(before: Array, here: Array) -> float:
    """How far a test is believed to be shifted at all, 0 to 1, by the means of (N, D) and (R, D) signs.

    Single models may seem to move where nothing is shifted, such as those whose folds' mean is better than each fold.
    """
    error = np.sqrt(before.var(0) / len(before) + here.var(0) / len(here))
    return firm(float((np.abs(here.mean(0) - before.mean(0)) / np.maximum(error, 1e-9)).max()))


def _without_doubt(rates: Array, before: Array, share: float) -> float:
    """The mean rate, its distance from the clean score shrunk as far as sampling explains it (James-Stein).

    ``share`` is how far the test is known to be shifted. A model's own move may be clearer than that, but of many
    models some move by chance: alone it must be `DOUBT` standard errors clearer.
    """
    anchor = float(before.mean())
    move, error = float(rates.mean()) - anchor, float(np.sqrt(rates.var() / len(rates) + before.var() / len(before)))
    if not move:
        return anchor
    own = firm(abs(move) / max(error, 1e-9) - DOUBT) * max(0.0, 1 - (DOUBT * error / move) ** 2)
    return anchor + max(share, own) * move


def _fitted(evidence: Evidence, rows: NDArray[np.bool_]) -> tuple[pool.Consensus, tuple[pool.Line, ...], Array]:
    """Consensus and lines from these stressed rows, and the rates (M, N) of the clean ones."""
    hurt = evidence.stressed[:, rows]
    asked = [evidence.questions(proba) for proba in (evidence.clean, hurt)]
    y = np.concatenate([evidence.answers(truth) for truth in (evidence.y, evidence.y[evidence.rows[rows]])])
    consensus = pool.learn_by_class(np.concatenate(asked, axis=1), y)
    pairs = zip((evidence.clean, hurt), asked, strict=True)
    clean, stressed = (pool.believed(evidence, proba, consensus.posterior(one)).mean(0) for proba, one in pairs)
    scores = (values.mean(1).tolist() for values in (evidence.clean_values, evidence.stressed_values[:, rows]))
    ends = zip(clean, stressed, *scores, strict=True)
    lines = tuple(pool.anchored(whole, bad, at, hurt_at, evidence.unit) for whole, bad, at, hurt_at in ends)
    return consensus, lines, np.stack([line.rate(values) for line, values in zip(lines, clean, strict=True)])


def _left_out(evidence: Evidence) -> tuple[Array, Array, tuple[pool.Consensus, ...]]:
    families = sorted(set(evidence.family.tolist()) - {CLEAN})
    count = len(evidence.names)
    errors, lucks, without = np.full((count, len(families)), np.nan), np.zeros((len(families), count, count)), []
    for group in range(min(GROUPS, len(families))):
        held = families[group::GROUPS]
        consensus, lines, _ = _fitted(evidence, ~np.isin(evidence.family, held))
        without.append(consensus)
        for family in held:
            rows, place = evidence.family == family, families.index(family)
            hurt, y = evidence.stressed[:, rows], evidence.y[evidence.rows[rows]]
            values = pool.believed(evidence, hurt, consensus.posterior(evidence.questions(hurt)))
            rates = [line.rate(one).mean() for line, one in zip(lines, values.mean(0), strict=True)]
            lucks[place] = pool.shared_luck(values) / rows.sum()
            with suppress(DataError):  # no score of this family, as no AUC of rows of one class
                errors[:, place] = rates - evidence.values(y, hurt).mean(1)
    scored = np.isfinite(errors).all(0)
    return errors[:, scored], lucks[scored], tuple(without)
