"""Where we stand: every submission with what was expected of it and what it got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.files import read_json
from kit.ledger.attempts import Attempt
from kit.ledger.forecast import Estimate, combined, error_on_test, forecast, standard_error
from kit.ledger.snapshots import Snapshot

RECENT = 50


@dataclass(frozen=True)
class Line:
    """One submission, as the tables show it."""

    attempt: Attempt
    cv: float
    low: float
    high: float
    rows: int
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

    @property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.attempt.time)


def standing(attempts: Sequence[Attempt], snapshots: Sequence[Snapshot], test_size: int) -> list[Line]:
    """The attempts that reached the platform, oldest first.

    A forecast is that of `kit forecast` where it was made, else it rests on the ``RECENT`` scores before it.
    """
    lines: list[Line] = []
    gaps: list[float] = []
    for attempt in attempts:
        if attempt.state in ("answered", "failed", "scored", "requested"):
            line = _line(attempt, gaps[-RECENT:], snapshots, test_size)
            lines.append(line)
            gaps += [line.gap] if line.gap is not None else []
    return lines


def _line(attempt: Attempt, gaps: Sequence[float], snapshots: Sequence[Snapshot], test_size: int) -> Line:
    record = attempt.submission.record
    cv, rows = record["cv"], int(record.get("rows", 0))
    error = standard_error(cv["low"], cv["high"])
    written = attempt.submission.paths.forecast
    if written.exists():
        expected = _written(read_json(written))
    else:
        expected = forecast(cv["score"], error, error_on_test(error, rows, test_size), gaps)
    now = _rank(attempt, snapshots[-1]) if snapshots else None
    then = next((rank for snapshot in reversed(snapshots[:-1]) if (rank := _rank(attempt, snapshot))), None)
    moved = then - now if now and then else None
    return Line(attempt, cv["score"], cv["low"], cv["high"], rows, expected, now, moved)


def _written(found: dict[str, Any]) -> Estimate:
    """What `kit forecast` said of a submission, which never knew its own score."""
    return Estimate(found["value"], found["low"], found["high"], found["past"], found["basis"], found["level"])


def _rank(attempt: Attempt, snapshot: Snapshot) -> int | None:
    """The rank of a submission: of the line with its id, or of our only line where it shows this score."""
    named = [row for row in snapshot.mine if row["remote"]]
    if named:
        return next((int(row["rank"]) for row in named if row["remote"] == attempt.remote), None)
    return next((int(row["rank"]) for row in snapshot.mine if _same(row, attempt.score)), None)


def _same(row: dict[str, Any], score: float | None) -> bool:
    return score is not None and abs(float(row["score"]) - score) < 1e-5


def moved(snapshots: Sequence[Snapshot]) -> int | None:
    """Places won since the snapshot before the last one that has us on it; None without two such."""
    ranks = [snapshot.rank for snapshot in snapshots if snapshot.rank is not None]
    return ranks[-2] - ranks[-1] if len(ranks) > 1 else None


def mean_gap(lines: Sequence[Line]) -> float:
    """Mean of score minus CV; 0 before the first score."""
    gaps = [line.gap for line in lines if line.gap is not None]
    return sum(gaps) / len(gaps) if gaps else 0.0


def quality(line: Line, gap: float, test_size: int) -> float:
    """The best guess of how good a submission is, from both its numbers."""
    error = error_on_test(line.cv_error, line.rows, test_size)
    return combined(line.cv, line.cv_error, gap, line.attempt.score, error)
