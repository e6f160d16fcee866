"""Where we stand: every submission with what was expected of it and what it got."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from kit.base.events import Emit, Event, silent
from kit.config.competition import CompetitionConfig
from kit.errors import StageError
from kit.store.candidate import ForecastRecord
from kit.store.ledger.attempts import Attempt
from kit.store.ledger.forecast import Estimate, combined, error_on_test, forecast, standard_error
from kit.store.ledger.snapshots import BoardRow, Snapshot

RECENT = 50
# Of the board are shown its first lines, and our best ones with their neighbours.
TOP, OURS, AROUND = 5, 2, 2


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

    @property
    def cv_error(self) -> float:
        return standard_error(self.low, self.high)


@dataclass(frozen=True)
class Agreement:
    """Pairs of submissions, and those that cross-validation puts in the same order as the score."""

    pairs: int
    alike: int


def standing(
    attempts: Sequence[Attempt], snapshots: Sequence[Snapshot], competition: CompetitionConfig, emit: Emit = silent
) -> list[Line]:
    """The attempts that reached the platform, oldest first.

    One whose candidate cannot be read, or was scored by another metric than the competition's, is a warning.

    A forecast is that of `kit forecast` where there is one that can be read, else it rests on the ``RECENT`` scores
    before it.
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


def quality(line: Line, gap: float, test_size: int) -> float:
    """The best guess of how good a submission is, from both its numbers."""
    error = error_on_test(line.cv_error, line.rows, test_size)
    return combined(line.cv, line.cv_error, gap, line.attempt.score, error)
