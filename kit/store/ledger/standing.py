"""Where we stand: every submission with what was expected of it and what it got.

What cross-validation says about a score that is still to come, and how much of a difference is noise, are pure: numbers
in, numbers out. A score's standard error shrinks with the square root of the number of images, so that of the test is
the one of cross-validation times sqrt(rows / test size).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from kit.base.events import Emit, Event, silent
from kit.config.competition import CompetitionConfig
from kit.errors import StageError
from kit.store.candidate import ForecastRecord
from kit.store.ledger import Attempt
from kit.store.ledger.snapshots import BoardRow, Snapshot

# Two-sided 95 % of a normal distribution.
Z = 1.959964
# Weight of what theory says about the spread of gaps, in observations, against the gaps seen so far.
PRIOR = 4.0
RECENT = 50
# Of the board are shown its first lines, and our best ones with their neighbours.
TOP, OURS, AROUND = 5, 2, 2
FINALS = 2  # as many as Kaggle lets a team select


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
    errors would give, the latter counting as ``PRIOR`` observations: two gaps alone would say far too much.
    """
    n = len(gaps)
    noise = cv_error**2 + score_error**2
    mean = sum(gaps) / n if n else 0.0
    squares = sum((gap - mean) ** 2 for gap in gaps)
    variance = (PRIOR * noise + squares) / (PRIOR + max(n - 1, 0)) if n > 1 else noise
    half = Z * math.sqrt(variance * (1 + 1 / n if n else 1))
    return Estimate(cv + mean, cv + mean - half, cv + mean + half, n)


def noise_of_difference(score_error: float) -> float:
    """How far apart two equally good submissions lie in one of twenty cases, at most: as if errors were independent."""
    return Z * math.sqrt(2) * score_error


def combined(cv: float, cv_error: float, mean_gap: float, score: float, score_error: float) -> float:
    """The best guess of a submission's quality: CV moved by the mean gap, and its score, weighted by precision."""
    if score_error <= 0:
        return score
    if cv_error <= 0:
        return cv + mean_gap
    first, second = 1 / cv_error**2, 1 / score_error**2
    return (first * (cv + mean_gap) + second * score) / (first + second)


def medal(rank: int, teams: int) -> str:
    """Kaggle's medal for a rank among ``teams`` teams, by the rule of its progression system; empty = none."""
    return next((name for name, last in medal_zones(teams).items() if rank <= last), "")


def medal_zones(teams: int) -> dict[str, int]:
    """The last rank of each medal: shares below 100 and above 1,000 teams, fixed places between."""
    gold = 0.1 * teams if teams < 100 else 10 if teams < 250 else 10 + teams // 500
    silver = 0.2 * teams if teams < 250 else 50 if teams < 1000 else 0.05 * teams
    bronze = 0.4 * teams if teams < 250 else 100 if teams < 1000 else 0.1 * teams
    return {"gold": int(gold + 1e-9), "silver": int(silver + 1e-9), "bronze": int(bronze + 1e-9)}


@dataclass(frozen=True)
class Line:
    """One submission, as the tables show it."""

    attempt: Attempt
    cv: float
    low: float
    high: float
    rows: int
    stressed: float | None
    decided: float | None
    forecast: Estimate
    rank: int | None
    moved: int | None

    @property
    def gap(self) -> float | None:
        """Public score minus cross-validation."""
        return None if self.attempt.score is None else self.attempt.score - self.cv

    @property
    def surprise(self) -> float | None:
        """Public score minus forecast."""
        return None if self.attempt.score is None else self.attempt.score - self.forecast.value

    def error_on_test(self, test_size: int) -> float:
        """Standard error of its score on ``test_size`` images, from the interval of its cross-validation."""
        return error_on_test(standard_error(self.low, self.high), self.rows, test_size)


@dataclass(frozen=True)
class Agreement:
    """Pairs of submissions, and those that cross-validation puts in the same order as the score."""

    pairs: int
    alike: int


def standing(
    attempts: Sequence[Attempt], snapshots: Sequence[Snapshot], competition: CompetitionConfig, emit: Emit = silent
) -> list[Line]:
    """The attempts that reached the platform, oldest first; an unreadable candidate, or another metric, is a warning.

    A forecast is that of `kit forecast` where it can be read, else it rests on the ``RECENT`` scores before it.
    """
    lines: list[Line] = []
    for attempt in attempts:
        if attempt.state in ("answered", "deleted", "failed", "scored", "requested"):
            # Of its phase only: each has its own test images.
            gaps = (one.gap for one in reversed(lines) if one.gap is not None and one.attempt.same_phase(attempt))
            try:
                lines.append(_line(attempt, [*islice(gaps, RECENT)][::-1], snapshots, competition, emit))
            except StageError as error:
                emit(Event("warn", f"{error.message}; its submission is skipped"))
    return lines


def _line(
    attempt: Attempt, gaps: Sequence[float], snapshots: Sequence[Snapshot], competition: CompetitionConfig, emit: Emit
) -> Line:
    known = attempt.submission.judged
    if known.metric != competition.metric:
        raise StageError(f"{attempt.submission.name} was scored by {known.metric}, not {competition.metric}")
    if attempt.score is not None and not competition.holds(attempt.score):
        beyond = f"{attempt.submission.name} has the score {attempt.score:g}, which {competition.metric} cannot be"
        raise StageError(f"{beyond}: a percentage, or another metric")
    cv = known.cv
    written = attempt.submission.paths.forecast
    try:
        said = ForecastRecord.load(written) if written.exists() else None
    except StageError as problem:
        emit(Event("warn", f"{problem.message}: {problem.hint}"))
        said = None
    if said is not None and said.metric == known.metric:
        expected = Estimate(said.value, said.low, said.high, basis=said.basis, level=said.level)
    else:
        error = standard_error(cv.low, cv.high)
        expected = forecast(cv.score, error, error_on_test(error, known.rows, competition.test_size), gaps)
    now = _rank(attempt, snapshots[-1]) if snapshots else None
    then = next((rank for snapshot in reversed(snapshots[:-1]) if (rank := _rank(attempt, snapshot))), None)
    moved = then - now if now and then else None
    stressed = known.stressed.score if known.stressed else None
    gain = known.decided[0] if known.decided else None
    return Line(attempt, cv.score, cv.low, cv.high, known.rows, stressed, gain, expected, now, moved)


def _rank(attempt: Attempt, snapshot: Snapshot) -> int | None:
    """The rank of a submission: of the line with its id, or of our only line where it shows this score."""
    named = [row for row in snapshot.mine if row.remote]
    if named:
        return next((row.rank for row in named if row.remote in attempt.remotes), None)
    score = attempt.score
    return next((row.rank for row in snapshot.mine if score is not None and abs(row.score - score) < 1e-5), None)


def window(rows: Sequence[BoardRow]) -> list[BoardRow]:
    """Of a board its top, and our lines with their neighbours."""
    places = set(range(min(TOP, len(rows))))
    for place in [place for place, row in enumerate(rows) if row.mine][:OURS]:
        places |= set(range(max(place - AROUND, 0), min(place + AROUND + 1, len(rows))))
    return [rows[place] for place in sorted(places)]


def agreement(lines: Sequence[Line]) -> Agreement | None:
    """Of the ``RECENT`` scored submissions, in pairs of one phase; None where no two differ in both numbers."""
    found = [line for line in lines if line.attempt.score is not None][-RECENT:]
    alike = [
        (a.cv < b.cv) == ((a.attempt.score or 0.0) < (b.attempt.score or 0.0))
        for a, b in combinations(found, 2)
        if a.cv != b.cv and a.attempt.score != b.attempt.score and a.attempt.same_phase(b.attempt)
    ]
    return Agreement(len(alike), sum(alike)) if alike else None


def moved(snapshots: Sequence[Snapshot]) -> int | None:
    """Places won since the snapshot before the last one that has us on it; None without two such."""
    ranks = [snapshot.rank for snapshot in snapshots if snapshot.rank is not None]
    return ranks[-2] - ranks[-1] if len(ranks) > 1 else None


def place(last: Snapshot, places: int | None) -> str:
    """Our rank on a board, and how many places it moved."""
    way = f", {'up' if places > 0 else 'down'} {abs(places)}" if places else ""
    return f"rank {last.rank} of {last.lines}{way}"


def mean_gap(lines: Sequence[Line]) -> float:
    """Mean of score minus CV; 0 before the first score."""
    gaps = [line.gap for line in lines if line.gap is not None]
    return sum(gaps) / len(gaps) if gaps else 0.0


def finals(lines: Sequence[Line], competition: CompetitionConfig) -> list[tuple[Line, float]]:
    """The ``FINALS`` with the best guess of their quality, from CV and score together; different files only."""
    gap, chosen = mean_gap(lines), dict[str, tuple[Line, float]]()
    scored = []
    for line in lines:
        if (score := line.attempt.score) is not None:
            error = line.error_on_test(competition.test_size)
            scored.append((line, combined(line.cv, line.error_on_test(0), gap, score, error)))
    sign = -1 if competition.greater_is_better else 1
    for line, estimate in sorted(scored, key=lambda found: sign * found[1]):
        chosen.setdefault(line.attempt.begun.sha256, (line, estimate))
    return list(chosen.values())[:FINALS]
