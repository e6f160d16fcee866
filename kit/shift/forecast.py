"""What the leaderboard will say, with an interval, before it says it.

Accuracies of M models on one test are taken as jointly Gaussian: a mean, and a covariance that says how models err
together. Past scores of some of them then correct the others (Gaussian conditioning, as in kriging).

Without test pictures mean and covariance are those of a Dirichlet-distributed mixture of the stressed cells. With them
the mean is `kit.shift.correctness`, and the covariance is how wrong that was for corruptions left out of its fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from kit.corrupt.mixture import CLEAN, Mixture
from kit.errors import DataError
from kit.shift.correctness import Calibrated, fit, row_features
from kit.shift.evidence import Evidence

Array = NDArray[np.float64]

# Of the Dirichlet over cells: a test is a mixture of few corruptions, not of all that are thought of.
CONCENTRATION = 3.0
GROUPS = 5  # of families, each left out once
SHRINKAGE = 0.3  # of the models' error covariance to one of equal correlations
LEAST_SPREAD = 0.005  # standard deviation of a model on its own, so that no covariance is singular
DOUBT = 1.5  # standard errors below which a drop counts as none


@dataclass(frozen=True)
class Forecast:
    """One model's.

    Parameters
    ----------
    name : str
    value, low, high : float
        Expected accuracy on the test and its interval.
    clean, stressed : float
        Accuracy out of fold.
    basis : str
        ``"mixture"``, or ``"test pictures"`` where their predictions were given.
    past : int
        Scores it rests on.
    """

    name: str
    value: float
    low: float
    high: float
    clean: float
    stressed: float
    basis: str
    past: int

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Belief:
    """Mean (M,) and covariance (M, M) of the models' accuracies on one test, before its sampling noise."""

    mean: Array
    covariance: Array


def forecast(
    evidence: Evidence, mixture: Mixture, test_size: int, past: Mapping[str, float] | None = None, level: float = 0.9
) -> tuple[Forecast, ...]:
    """Forecast every model's accuracy on a test of ``test_size`` pictures.

    Parameters
    ----------
    mixture : Mixture
        What may happen to the test's pictures; read where no test predictions are given.
    past : mapping of name to score, optional
        Scores on this test that are known already. For such a model the forecast is for another draw of it.
    level : float
        Probability that the interval is meant to hold the score with.

    Raises
    ------
    DataError
        If a past score's model has no predictions, or ``test_size`` or ``level`` cannot be.
    """
    if test_size < 1 or not 0 < level < 1:
        raise DataError(f"forecast: test size {test_size}, level {level}")
    return summarise(evidence, believe(evidence, mixture), test_size, past or {}, level)


def believe(evidence: Evidence, mixture: Mixture) -> Belief:
    """Mean and covariance before past scores: the slow part, to be kept while scores come in."""
    if evidence.test is None:
        return from_mixture(evidence.cells(mixture), mixture.shares)
    return from_test(calibrate(evidence), evidence.test)


def summarise(
    evidence: Evidence, belief: Belief, test_size: int, past: Mapping[str, float], level: float
) -> tuple[Forecast, ...]:
    """Condition on past scores, add the noise of the test's size and put into words."""
    unknown = sorted(set(past) - set(evidence.names))
    if unknown:
        raise DataError(f"forecast: no predictions of {unknown[0]!r}, which has a score")
    known = np.array([evidence.names.index(name) for name in past], int)
    after = condition(belief, known, np.array(list(past.values()), float), test_size)
    noise = _binomial(after.mean, test_size)
    half = norm.ppf(0.5 + level / 2) * np.sqrt(np.maximum(np.diag(after.covariance), 0) + noise)
    clean, stressed = evidence.clean_right.mean(1), evidence.stressed_right.mean(1)
    basis = "mixture" if evidence.test is None else "test pictures"
    return tuple(
        Forecast(
            name,
            float(np.clip(after.mean[i], 0, 1)),
            float(np.clip(after.mean[i] - half[i], 0, 1)),
            float(np.clip(after.mean[i] + half[i], 0, 1)),
            float(clean[i]),
            float(stressed[i]),
            basis,
            len(past),
        )
        for i, name in enumerate(evidence.names)
    )


def condition(belief: Belief, known: NDArray[np.int64], scores: Array, test_size: int) -> Belief:
    """The belief once the models ``known`` (P,) have ``scores`` (P,) on a test of ``test_size`` pictures."""
    if not len(known):
        return belief
    noise = np.diag(_binomial(belief.mean[known], test_size))
    seen = belief.covariance[np.ix_(known, known)] + noise
    gain = np.linalg.solve(seen, belief.covariance[known]).T
    return Belief(
        belief.mean + gain @ (scores - belief.mean[known]), belief.covariance - gain @ belief.covariance[known]
    )


def from_mixture(cells: Array, shares: Array) -> Belief:
    """Moments of ``cells`` (M, K) under Dirichlet weights with mean ``shares`` and `CONCENTRATION`."""
    mean = cells @ shares
    centred = cells - mean[:, None]
    covariance = (centred * shares) @ centred.T / (CONCENTRATION + 1)
    return Belief(mean, covariance + LEAST_SPREAD**2 * np.eye(len(cells)))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What does not depend on the test: models of correctness, rates of the clean rows (M, N), covariance (M, M)."""

    models: tuple[Calibrated, ...]
    before: Array
    covariance: Array


def calibrate(evidence: Evidence) -> Calibration:
    """Fit `correctness` for every model, and again without each group of families to see how wrong it is then."""
    clean = [row_features(evidence.clean, i) for i in range(len(evidence.names))]
    stressed = [row_features(evidence.stressed, i) for i in range(len(evidence.names))]
    every = np.ones(len(evidence.rows), bool)
    models = tuple(_fitted(evidence, clean[i], stressed[i], i, every) for i in range(len(clean)))
    before = np.stack([model.rate(x) for model, x in zip(models, clean, strict=True)])
    return Calibration(models, before, _covariance(_left_out(evidence, clean, stressed)))


def from_test(calibration: Calibration, test: NDArray[np.floating]) -> Belief:
    """`correctness` on the test's predictions (M, R, C); the covariance from corruptions left out of its fit."""
    pairs = zip(calibration.models, calibration.before, strict=True)
    mean = [_without_doubt(model.rate(row_features(test, i)), before) for i, (model, before) in enumerate(pairs)]
    return Belief(np.array(mean), calibration.covariance)


def _without_doubt(rates: Array, before: Array) -> float:
    """The mean rate, its distance from the clean score shrunk as far as sampling explains it (James-Stein)."""
    anchor = float(before.mean())
    move = float(rates.mean()) - anchor
    error = DOUBT * float(np.sqrt(rates.var() / len(rates) + before.var() / len(before)))
    return anchor + move * max(0.0, 1 - (error / move) ** 2) if move else anchor


def _fitted(evidence: Evidence, clean: Array, stressed: Array, model: int, rows: NDArray[np.bool_]) -> Calibrated:
    right = evidence.stressed_right[model]
    return fit(clean, evidence.clean_right[model], stressed[rows], right[rows])


def _left_out(evidence: Evidence, clean: list[Array], stressed: list[Array]) -> Array:
    """(M, G) forecast less accuracy for every family, fitted without its group of families."""
    families = sorted(set(evidence.family.tolist()) - {CLEAN})
    errors = np.zeros((len(clean), len(families)))
    for group in range(min(GROUPS, len(families))):
        held = families[group::GROUPS]
        rest = ~np.isin(evidence.family, held)
        for i in range(len(clean)):
            fitted = _fitted(evidence, clean[i], stressed[i], i, rest)
            for family in held:
                rows = evidence.family == family
                found = fitted.rate(stressed[i][rows]).mean() - evidence.stressed_right[i][rows].mean()
                errors[i, families.index(family)] = found
    return errors


def _covariance(errors: Array) -> Array:
    """(M, M) second moments of (M, G) errors, shrunk to equal variances and correlations."""
    models, seen = errors.shape
    moments = errors @ errors.T / max(seen, 1)
    variance = np.diag(moments).mean()
    apart = moments[~np.eye(models, dtype=bool)]
    shared = max(0.0, float(apart.mean())) if apart.size else 0.0
    target = np.full((models, models), min(shared, variance)) + np.eye(models) * max(variance - shared, 0)
    return np.asarray((1 - SHRINKAGE) * moments + SHRINKAGE * target + LEAST_SPREAD**2 * np.eye(models), np.float64)


def _binomial(mean: Array, size: int) -> Array:
    share = np.clip(mean, 0.5 / size, 1 - 0.5 / size)
    return np.asarray(share * (1 - share) / size, np.float64)
