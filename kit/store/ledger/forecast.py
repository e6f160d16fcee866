"""What cross-validation says about a score that is still to come, and how much of a difference is noise.

All pure: numbers in, numbers out. A score's standard error shrinks with the square root of the number of images, so
that of the test is the one of cross-validation times sqrt(rows / test size).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % of a normal distribution.
Z = 1.959964
# Weight of what theory says about the spread of gaps, in observations, against the gaps seen so far.
PRIOR = 4.0


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``seen`` is the number of other scores that it rests on.

    ``basis`` is `gaps` (cross-validation and the gaps of earlier submissions, 95 %) or what `kit forecast` rested on,
    ``level`` the probability that the interval is meant to hold the score with.
    """

    value: float
    low: float
    high: float
    seen: int = 0
    basis: str = "gaps"
    level: float = 0.95


def standard_error(low: float, high: float) -> float:
    """The standard error behind a 95 % interval."""
    return (high - low) / (2 * Z)


def error_on_test(cv_error: float, rows: int, test_size: int) -> float:
    """Standard error of a score on ``test_size`` images; 0 images = not known, taken to be like the ``rows``."""
    return cv_error * math.sqrt(rows / test_size) if test_size and rows else cv_error


def forecast(cv: float, cv_error: float, score_error: float, gaps: Sequence[float]) -> Estimate:
    """What the platform will say, from cross-validation and the gaps (score - CV) of earlier submissions.

    The centre is CV plus the mean gap. The spread of gaps is a mean of what was seen and of what two independent
    errors would give, the latter counting as ``PRIOR`` observations: two gaps alone would say far too much. Where
    theory holds the interval covers 93 to 95 %. Before the first score it knows nothing of a test that differs from
    the training images.
    """
    n = len(gaps)
    noise = cv_error**2 + score_error**2
    mean = sum(gaps) / n if n else 0.0
    squares = sum((gap - mean) ** 2 for gap in gaps)
    variance = (PRIOR * noise + squares) / (PRIOR + max(n - 1, 0)) if n > 1 else noise
    half = Z * math.sqrt(variance * (1 + 1 / n if n else 1))
    return Estimate(cv + mean, cv + mean - half, cv + mean + half, n)


def noise_of_difference(score_error: float) -> float:
    """How far apart two equally good submissions come to lie on one test in one of twenty cases, at most.

    At most: their errors are taken as independent, and those of two networks on the same images never quite are.
    """
    return Z * math.sqrt(2) * score_error


def combined(cv: float, cv_error: float, mean_gap: float, score: float | None, score_error: float) -> float:
    """The best guess of a submission's quality: CV moved by the mean gap, and its score, weighted by precision."""
    if score is None or score_error <= 0:
        return cv + mean_gap if score is None else score
    if cv_error <= 0:
        return cv + mean_gap
    first, second = 1 / cv_error**2, 1 / score_error**2
    return (first * (cv + mean_gap) + second * score) / (first + second)


def medal(rank: int, teams: int) -> str:
    """Kaggle's medal for a rank among ``teams`` teams, by the rule of its progression system; empty = none."""
    return next((name for name, last in medal_zones(teams) if rank <= last), "")


def medal_zones(teams: int) -> list[tuple[str, int]]:
    """The last rank of each medal: shares below 100 and above 1,000 teams, fixed places between."""
    gold = 0.1 * teams if teams < 100 else 10 if teams < 250 else 10 + teams // 500
    silver = 0.2 * teams if teams < 250 else 50 if teams < 1000 else 0.05 * teams
    bronze = 0.4 * teams if teams < 250 else 100 if teams < 1000 else 0.1 * teams
    return [("gold", int(gold + 1e-9)), ("silver", int(silver + 1e-9)), ("bronze", int(bronze + 1e-9))]
