"""The facts of `kit lb` as one record: what the tables show, and ``--json`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.config import Config
from kit.config.competition import CompetitionConfig
from kit.errors import StageError
from kit.ledger import Attempt, BoardRow, Snapshot
from kit.ledger.forecast import error_on_test, medal, medal_zones, noise_of_difference
from kit.ledger.standing import Agreement, Line, agreement, mean_gap, moved, place, quality, standing, window
from kit.platforms import Remaining
from kit.records import Emit, Event

FINALS = 2
Cell = str | float | None


@dataclass(frozen=True)
class Facts:
    """What a report is made of: ledger, boards, what the platform said just now, and when it last showed its board."""

    mine: Sequence[Attempt]
    snapshots: Sequence[Snapshot]
    left: Remaining = field(default_factory=Remaining)
    problem: str = ""
    asked: datetime | None = None


@dataclass(frozen=True)
class Ahead(BoardRow):
    """The next line with a better score than our best, and how far away it is."""

    distance: float = 0.0


@dataclass(frozen=True)
class Standing:
    """Where we are on the whole board; ``age`` is since the board was seen, ``time`` when it last changed."""

    time: datetime
    age: float
    lines: int
    rank: int | None
    moved: int | None
    ahead: Ahead | None
    medal: str
    zones: dict[str, int]


@dataclass(frozen=True)
class Noise:
    """How far apart two equal submissions can come to lie."""

    difference: float
    test_size: int


@dataclass(frozen=True)
class Final:
    """A submission to select in the end, with the best guess of its quality."""

    name: str
    remote: str
    cv: float
    score: float | None
    estimate: float


@dataclass(frozen=True)
class Rank:
    """Our best rank at a time."""

    time: datetime
    rank: int
    lines: int


@dataclass(frozen=True)
class Report:
    """Everything that is known.

    Attributes
    ----------
    competition : CompetitionConfig
    problem : str
        Why the platform could not be asked, or empty.
    now : datetime
    submissions : list of Line
        Oldest first.
    board : list of BoardRow
        Its top, and our lines with their neighbours.
    standing : Standing or None
        None before the first snapshot.
    place : str
        The same in words, empty where we are not on the board.
    remaining : Remaining
    noise : Noise or None
    agreement : Agreement or None
    finals : list of Final
    ranks : list of Rank
        Oldest first.
    pictures : list of Path or None
        None where none were asked for.
    """

    competition: CompetitionConfig
    problem: str
    now: datetime
    submissions: list[Line]
    board: list[BoardRow]
    standing: Standing | None
    place: str
    remaining: Remaining
    noise: Noise | None
    agreement: Agreement | None
    finals: list[Final]
    ranks: list[Rank]
    pictures: list[Path] | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``kit lb --json`` prints; its keys are public."""
        competition, resets = self.competition, self.remaining.resets
        content = {
            "competition": competition.name,
            "platform": competition.platform,
            "phase": competition.phase,
            "metric": competition.metric,
            "greater_is_better": competition.greater_is_better,
            "problem": self.problem,
            "submissions": self.rows(),
            "board": [asdict(row) for row in self.board],
            "standing": self.standing and {**asdict(self.standing), "time": self.standing.time.isoformat()},
            "remaining": {**asdict(self.remaining), "resets": resets and resets.isoformat()},
            "noise": self.noise and asdict(self.noise),
            "agreement": self.agreement and asdict(self.agreement),
            "finals": [asdict(final) for final in self.finals],
            "ranks": [{**asdict(rank), "time": rank.time.isoformat()} for rank in self.ranks],
        }
        return content if self.pictures is None else {**content, "pictures": [str(path) for path in self.pictures]}

    def rows(self) -> list[dict[str, Cell]]:
        """The submissions with all their numbers by name."""
        return [
            {
                "name": line.attempt.submission.name,
                "tag": line.attempt.tag,
                "remote": line.attempt.remote,
                "state": line.attempt.state,
                "message": line.attempt.message,
                "cv": line.cv,
                "low": line.low,
                "high": line.high,
                "stressed": line.stressed,
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
                "time": line.time.isoformat(timespec="microseconds"),
                "age": (self.now - line.time).total_seconds(),
                "who": line.attempt.who,
                "commit": line.attempt.commit,
            }
            for line in self.submissions
        ]


def build(config: Config, facts: Facts, emit: Emit) -> Report:
    """Bring the facts together; what cannot be read is a warning."""
    competition, snapshots = config.competition, facts.snapshots
    lines = standing(facts.mine, snapshots, competition.test_size, emit)
    rows: Sequence[BoardRow] = ()
    try:
        rows = snapshots[-1].rows() if snapshots else ()
    except StageError as error:
        emit(Event("warn", f"{error.message}; the board is not shown"))
    now = datetime.now(UTC)
    return Report(
        competition=competition,
        problem=facts.problem,
        now=now,
        submissions=lines,
        board=window(rows),
        standing=_standing(config, facts, rows, now) if snapshots else None,
        place=place(snapshots) if snapshots and snapshots[-1].rank is not None else "",
        remaining=facts.left,
        noise=_noise(lines, competition.test_size),
        agreement=agreement(lines),
        finals=_finals(lines, config),
        ranks=[Rank(one.time, one.rank, one.lines) for one in snapshots if one.rank is not None],
    )


def _standing(config: Config, facts: Facts, rows: Sequence[BoardRow], now: datetime) -> Standing:
    last = facts.snapshots[-1]
    seen = max(last.time, facts.asked) if facts.asked else last.time
    own = next((row for row in rows if row.mine), None)
    kaggle = config.competition.platform == "kaggle"
    return Standing(
        time=last.time,
        age=(now - seen).total_seconds(),
        lines=last.lines,
        rank=last.rank,
        moved=moved(facts.snapshots),
        ahead=_ahead(rows, own) if own else None,
        medal=medal(own.rank, last.lines) if own and kaggle else "",
        zones=dict(medal_zones(last.lines)) if kaggle else {},
    )


def _ahead(rows: Sequence[BoardRow], own: BoardRow) -> Ahead | None:
    better = [row for row in rows if row.rank < own.rank and row.score != own.score]
    return Ahead(**vars(better[-1]), distance=abs(better[-1].score - own.score)) if better else None


def _noise(lines: Sequence[Line], test_size: int) -> Noise | None:
    """From the newest one's interval."""
    if not lines or not test_size:
        return None
    return Noise(noise_of_difference(error_on_test(lines[-1].cv_error, lines[-1].rows, test_size)), test_size)


def _finals(lines: Sequence[Line], config: Config) -> list[Final]:
    """The two with the best guess of their quality, from CV and score together; different files only."""
    sign = -1 if config.competition.greater_is_better else 1
    gap, size = mean_gap(lines), config.competition.test_size
    scored = [line for line in lines if line.attempt.score is not None]
    chosen: dict[str, Line] = {}
    for line in sorted(scored, key=lambda line: sign * quality(line, gap, size)):
        chosen.setdefault(line.attempt.sha256, line)
    return [
        Final(one.attempt.submission.name, one.attempt.remote, one.cv, one.attempt.score, quality(one, gap, size))
        for one in list(chosen.values())[:FINALS]
    ]
