"""The facts of `kit lb` as one record: what the tables show, and ``--json`` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.base.events import Emit, Event
from kit.config import Config
from kit.config.competition import CompetitionConfig
from kit.errors import StageError
from kit.platforms import Remaining
from kit.store.ledger import Attempt, BoardRow, Phase, Snapshot, of_phase, standing
from kit.store.ledger.standing import Agreement, Line


@dataclass(frozen=True)
class Seen:
    """What the platform said, and when it showed its board; ``problem`` is why not all, and ``hint`` what mends it."""

    phase: Phase
    names: Mapping[str, str]
    remaining: Remaining
    asked: datetime | None
    problem: str
    hint: str


@dataclass(frozen=True)
class Standing:
    """Where we are on the whole board; ``age`` is since it was seen, ``ahead`` the next line with a better score."""

    snapshot: Snapshot
    age: float
    moved: int | None
    ahead: BoardRow | None
    distance: float
    medal: str
    zones: dict[str, int]


@dataclass(frozen=True)
class Report:
    """Everything that is known; the oldest submission and rank are first, ``board`` is a part of the whole one.

    ``here`` are the submissions of the phase, of which the board is too. ``noise`` is how far apart two equal
    submissions can come to lie; ``finals`` those to select in the end, with the best guess of their quality.
    """

    competition: CompetitionConfig
    seen: Seen
    now: datetime
    submissions: list[Line]
    here: list[Line]
    board: list[BoardRow]
    standing: Standing | None
    noise: float | None
    agreement: Agreement | None
    finals: list[tuple[Line, float]]
    snapshots: list[Snapshot]
    pictures: list[Path] | None = None

    def phase_of(self, line: Line) -> str:
        """The name of the phase that a submission was sent to, or else its number."""
        phase = line.attempt.phase
        return self.seen.names.get(phase) or phase

    def to_json(self) -> dict[str, Any]:
        """What ``kit lb --json`` prints; its keys are public."""
        competition, resets, noise, rank = self.competition, self.seen.remaining.resets, self.noise, self.standing
        finals = [(line.attempt, line.cv, estimate) for line, estimate in self.finals]
        content = {
            "competition": competition.name,
            "platform": competition.platform,
            "phase": self.seen.phase.name or competition.phase,
            "phase_ends": self.seen.phase.end and self.seen.phase.end.isoformat(),
            "metric": competition.metric,
            "greater_is_better": competition.greater_is_better,
            "problem": self.seen.problem,
            "hint": self.seen.hint,
            "submissions": self.rows(),
            "board": [vars(row) for row in self.board],
            "standing": rank
            and {
                "time": rank.snapshot.time.isoformat(),
                "age": rank.age,
                "lines": rank.snapshot.lines,
                "rank": rank.snapshot.rank,
                "moved": rank.moved,
                "ahead": rank.ahead and {**vars(rank.ahead), "distance": rank.distance},
                "medal": rank.medal,
                "zones": rank.zones,
            },
            "remaining": {**vars(self.seen.remaining), "resets": resets and resets.isoformat()},
            "noise": None if noise is None else {"difference": noise, "test_size": competition.test_size},
            "agreement": self.agreement and vars(self.agreement),
            "finals": [
                {"name": one.submission.name, "remote": one.remote, "cv": cv, "score": one.score, "estimate": estimate}
                for one, cv, estimate in finals
            ],
            "ranks": [{"time": one.time.isoformat(), "rank": one.rank, "lines": one.lines} for one in self.snapshots],
        }
        return content if self.pictures is None else {**content, "pictures": [str(path) for path in self.pictures]}

    def rows(self) -> list[dict[str, str | float | None]]:
        """The submissions with all their numbers by name."""
        return [
            {
                "name": line.attempt.submission.name,
                "tag": line.attempt.begun.tag,
                "remote": line.attempt.remote,
                "phase": self.phase_of(line),
                "state": line.attempt.state,
                "message": line.attempt.message,
                "cv": line.cv,
                "low": line.low,
                "high": line.high,
                "stressed": line.stressed,
                "decision": line.decided,
                "forecast": line.forecast.value,
                "forecast_low": line.forecast.low,
                "forecast_high": line.forecast.high,
                "forecast_level": line.forecast.level,
                "forecast_basis": line.forecast.basis,
                "forecast_error": line.surprise,
                "score": line.attempt.score,
                "private": line.attempt.private,
                "gap": line.gap,
                "rank": line.rank,
                "moved": line.moved,
                "time": line.attempt.begun.time.isoformat(timespec="microseconds"),
                "age": (self.now - line.attempt.begun.time).total_seconds(),
                "who": line.attempt.begun.who,
                "commit": line.attempt.begun.commit,
            }
            for line in self.submissions
        ]


def build(config: Config, mine: Sequence[Attempt], snapshots: Sequence[Snapshot], emit: Emit, seen: Seen) -> Report:
    """Bring ledger, boards and what the platform said together; what cannot be read is a warning."""
    competition = config.competition
    lines = standing.standing(mine, snapshots, competition, emit)
    rows: Sequence[BoardRow] = ()
    try:
        rows = snapshots[-1].rows() if snapshots else ()
    except StageError as error:
        emit(Event("warn", f"{error.message}; the board is not shown"))
    now = datetime.now(UTC)
    size = competition.test_size
    here, scored = _of_phase(lines, seen.phase), [line for line in lines if line.attempt.score is not None]
    return Report(
        competition=competition,
        seen=seen,
        now=now,
        submissions=lines,
        here=here,
        board=standing.window(rows),
        standing=_standing(config, snapshots, rows, now, seen.asked) if snapshots else None,
        noise=standing.noise_of_difference(lines[-1].error_on_test(size)) if lines and size else None,  # of the newest
        agreement=standing.agreement(lines),
        # Before the first score of a phase those of the phase before it say which files to send.
        finals=standing.finals(here, competition) or standing.finals(_of_phase(scored, Phase()), competition),
        snapshots=[snapshot for snapshot in snapshots if snapshot.rank is not None],
    )


def _of_phase(lines: Sequence[Line], phase: Phase) -> list[Line]:
    chosen = {attempt.begun.intent for attempt in of_phase([line.attempt for line in lines], phase)}
    return [line for line in lines if line.attempt.begun.intent in chosen]


def _standing(
    config: Config, snapshots: Sequence[Snapshot], rows: Sequence[BoardRow], now: datetime, asked: datetime | None
) -> Standing:
    last = snapshots[-1]
    own = next((row for row in rows if row.mine), None)
    better = [row for row in rows if own and row.rank < own.rank and row.score != own.score]
    zones = standing.medal_zones(last.lines) if config.competition.platform == "kaggle" else {}
    return Standing(
        snapshot=last,
        age=(now - max(last.time, asked or last.time)).total_seconds(),
        moved=standing.moved(snapshots),
        ahead=better[-1] if better else None,
        distance=abs(better[-1].score - own.score) if own and better else 0.0,
        medal=standing.medal(own.rank, last.lines) if own and zones else "",
        zones=zones,
    )
