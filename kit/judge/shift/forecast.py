"""What the leaderboard will say, with an interval, before it says it.

Two things may be true of a test: it is like the training set, or it is shifted (`kit.judge.shift.belief`). Without
test pictures a shift is a mixture of few stressed cells, Dirichlet-distributed. With them the mean is
`kit.judge.shift.correctness`, and the covariance is how wrong that was for corruptions left out of its fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError
from kit.images.corrupt.mixture import CLEAN, Mixture
from kit.judge.metrics import Array
from kit.judge.shift.belief import Belief, Case
from kit.judge.shift.consensus import Consensus, learn
from kit.judge.shift.correctness import Calibrated, fit, logit, row_features
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.noise import DOUBT, firm, wrong_labels
from kit.judge.shift.together import LEAST_SPREAD, alike, covariance, shared_luck

# Of the Dirichlet over cells, before and after past scores: a test is a mixture of few corruptions, not of all.
CONCENTRATION = 2.0
UNSHIFTED = 0.2  # what "the test is like the training set" weighs before anything is known of it
# By which share of one fold's errors on clean rows the mean of many folds is oftener right, and the doubt of that: .03
# of scikit-learn's models, .06 to .1 of networks.
MEAN_OF_FOLDS = (0.05, 0.04)
DOUBT_OF_GAIN = 0.5  # relative, of what the mean of folds gains where their predictions of the test are known
GROUPS = 5  # of families, each left out once


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
    # (weight, value, low, high) of what may be true of the test: that nothing is shifted, and that something is.
    cases: tuple[tuple[float, float, float, float], ...]


def believe(evidence: Evidence, mixture: Mixture) -> Belief:
    """What is believed before past scores: the slow part, to be kept while scores come in."""
    if evidence.test is None:
        found = from_mixture(evidence, mixture)
    else:
        found = from_test(calibrate(evidence), evidence.test, evidence.folds)
    posterior = learn(evidence.clean, evidence.y).posterior(evidence.clean)
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
    low, value, high = found.quantiles([0.5 - level / 2, 0.5, 0.5 + level / 2])
    clean, stressed = evidence.clean_right.mean(1), evidence.stressed_right.mean(1)
    basis = "mixture" if evidence.test is None else "test pictures"
    columns = [*(np.clip(x, 0, 1) for x in (value, low, high)), clean, stressed]
    lines = zip(evidence.names, np.stack(columns, axis=1).tolist(), strict=True)
    said = [[(case.weight, *one) for one in case.interval(level).T.clip(0, 1).tolist()] for case in found.cases]
    return tuple(
        Forecast(name, value, low, high, right, hurt, basis, len(past), tuple(cases[place] for cases in said))
        for place, (name, (value, low, high, right, hurt)) in enumerate(lines)
    )


def from_mixture(evidence: Evidence, mixture: Mixture, unshifted: float = UNSHIFTED) -> Belief:
    """Nothing is shifted, or the test is a mixture of cells under Dirichlet weights with `CONCENTRATION`."""
    cells, right, shares = evidence.cells(mixture), evidence.clean_right.astype(float), mixture.shares
    gain, doubt = ((1 - right.mean(1)) * x * (1 - 1 / evidence.averaged) for x in MEAN_OF_FOLDS)
    cases = []
    centred = cells - (cells @ shares)[:, None]
    spread = (centred * shares) @ centred.T / (CONCENTRATION + 1)
    own = LEAST_SPREAD**2 * np.eye(len(cells))
    sampling = np.atleast_2d(np.cov(right)) / right.shape[1]
    for weight, mean, around in ((unshifted, right.mean(1), sampling), (1 - unshifted, cells @ shares, spread)):
        cases.append(Case(weight, mean + gain, around + np.outer(doubt, doubt) + own))
    return Belief(tuple(cases), np.atleast_2d(np.cov(evidence.stressed_right.astype(float))))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What does not depend on the test: the consensus, and how right each of M models is."""

    consensus: Consensus
    models: tuple[Calibrated, ...]
    before: Array  # (M, N) rates of the clean rows
    common: Array  # (N, 2) their `common_signs`
    errors: Array  # (M, G) forecast less accuracy for each family, fitted without its group
    lucks: Array  # (G, M, M) `shared_luck` on the family's rows, over their number


def calibrate(evidence: Evidence) -> Calibration:
    """Fit `correctness` for every model, and again without each group of families to see how wrong it is then."""
    every = np.ones(len(evidence.rows), bool)
    consensus, clean, models = _fitted(evidence, every)
    before = np.stack([model.rate(x) for model, x in zip(models, clean, strict=True)])
    common = common_signs(consensus.posterior(evidence.clean), evidence.clean.argmax(2))
    return Calibration(consensus, models, before, common, *_left_out(evidence))


def from_test(
    calibration: Calibration, test: NDArray[np.floating], folds: NDArray[np.floating] | None = None
) -> Belief:
    """`correctness` on the test's predictions (M, R, C); the covariance from corruptions left out of its fit.

    The mean of folds is less sure of itself than a fold, and more often right: where the single ``folds`` (M, K, R, C)
    are known too, correctness is that of a fold, and what their mean gains is added.
    """
    singles = [test] if folds is None else list(np.moveaxis(folds, 1, 0))
    posteriors = [calibration.consensus.posterior(single) for single in singles]
    features = [row_features(single, posterior) for single, posterior in zip(singles, posteriors, strict=True)]
    signs = [common_signs(one, single.argmax(2)) for single, one in zip(singles, posteriors, strict=True)]
    share, posterior = shifted(calibration.common, np.mean(signs, 0)), np.mean(posteriors, 0)
    rates = [np.mean([model.rate(x[i]) for x in features], 0) for i, model in enumerate(calibration.models)]
    mean = [_without_doubt(rate, before, share) for rate, before in zip(rates, calibration.before, strict=True)]
    gains = np.zeros(len(test))
    if folds is not None:
        every = -(-test.shape[1] // folds.shape[2])
        gains = gain_of_mean(posterior, test[:, ::every].argmax(2), folds.argmax(3))
    luck = shared_luck(posterior, (test if folds is None else folds.mean(1)).argmax(2))
    spread = covariance(calibration.errors, calibration.lucks, alike(luck))
    spread += np.diag((DOUBT_OF_GAIN * gains) ** 2)
    return Belief((Case(1.0, mean + gains, spread),), luck)


def gain_of_mean(posterior: Array, chosen: NDArray[np.integer], by_fold: NDArray[np.integer]) -> Array:
    """(M,) by how much the classes ``chosen`` (M, R) by the mean of folds are oftener right than ``by_fold`` (M, K, R).

    No labels are needed: where they differ, ``posterior`` (R, C) of all models and folds says which class is likelier.
    """
    rows = np.arange(len(posterior))
    return np.asarray((posterior[rows, chosen][:, None] - posterior[rows, by_fold]).mean((1, 2)))


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
    certain = max(share, firm(abs(move) / max(error, 1e-9) - DOUBT))
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
    errors, lucks = np.zeros((count, len(families))), np.zeros((len(families), count, count))
    for group in range(min(GROUPS, len(families))):
        held = families[group::GROUPS]
        consensus, _, models = _fitted(evidence, ~np.isin(evidence.family, held))
        for family in held:
            rows, place = evidence.family == family, families.index(family)
            hurt = evidence.stressed[:, rows]
            posterior, right = consensus.posterior(hurt), evidence.stressed_right[:, rows]
            features = row_features(hurt, posterior)
            errors[:, place] = [model.rate(x).mean() for model, x in zip(models, features, strict=True)] - right.mean(1)
            lucks[place] = shared_luck(posterior, hurt.argmax(2)) / rows.sum()
    return errors, lucks
