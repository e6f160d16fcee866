"""The facts of `kit lb` as one dictionary of plain values: what ``--json`` prints and the tables show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

from kit.config import Config
from kit.ledger import Attempt, Snapshot
from kit.ledger.forecast import error_on_test, medal, medal_zones, noise_of_difference
from kit.ledger.standing import Line, mean_gap, moved, quality, standing
from kit.platforms import Remaining

TOP, AROUND = 5, 2
FINALS = 2
COMPARED = 50


@dataclass(frozen=True)
class Facts:
    """What a report is made of: ledger, boards, what the platform said just now, and when it last showed its board."""

    mine: Sequence[Attempt]
    snapshots: Sequence[Snapshot]
    left: Remaining = field(default_factory=Remaining)
    problem: str = ""
    asked: datetime | None = None


def build(config: Config, facts: Facts) -> dict[str, Any]:
    """Everything that is known.

    Returns
    -------
    dict
        ``submissions`` (oldest first), ``board`` (its top, and our lines with their neighbours), ``standing`` (of the
        whole board; None before the first snapshot), ``remaining``, ``noise``, ``agreement`` (pairs of submissions
        that CV and score rank alike), ``finals``, ``ranks`` over time, and ``problem``, the reason why the platform
        could not be asked, or empty.
    """
    competition, snapshots = config.competition, facts.snapshots
    lines = standing(facts.mine, snapshots, competition.test_size)
    now = datetime.now(UTC)
    rows = snapshots[-1].rows() if snapshots else []
    return {
        "competition": competition.name,
        "platform": competition.platform,
        "phase": competition.phase,
        "metric": competition.metric,
        "greater_is_better": competition.greater_is_better,
        "problem": facts.problem,
        "submissions": [_row(line, now) for line in lines],
        "board": _window(rows),
        "standing": _standing(config, facts, rows, now) if snapshots else None,
        "remaining": _remaining(facts.left),
        "noise": _noise(lines, competition.test_size),
        "agreement": _agreement(lines),
        "finals": _finals(lines, config),
        "ranks": [
            {"time": snapshot.time.isoformat(), "rank": snapshot.rank, "lines": snapshot.lines}
            for snapshot in snapshots
            if snapshot.rank is not None
        ],
    }


def _row(line: Line, now: datetime) -> dict[str, Any]:
    attempt = line.attempt
    return {
        "name": attempt.submission.name,
        "tag": attempt.tag,
        "remote": attempt.remote,
        "state": attempt.state,
        "message": str(attempt.facts.get("failure", {}).get("message", "")),
        "cv": line.cv,
        "low": line.low,
        "high": line.high,
        "stressed": (attempt.submission.record.get("stressed") or {}).get("score"),
        "forecast": line.forecast.value,
        "forecast_low": line.forecast.low,
        "forecast_high": line.forecast.high,
        "forecast_level": line.forecast.level,
        "forecast_basis": line.forecast.basis,
        "forecast_error": line.surprise,
        "score": attempt.score,
        "private": attempt.private,
        "gap": line.gap,
        "rank": line.rank,
        "moved": line.moved,
        "time": attempt.time,
        "age": (now - line.time).total_seconds(),
        "who": attempt.who,
        "commit": attempt.commit,
    }


def _standing(config: Config, facts: Facts, rows: list[dict[str, Any]], now: datetime) -> dict[str, Any]:
    """Where we are; ``age`` is since the board was seen, ``time`` when it last changed."""
    last = facts.snapshots[-1]
    seen = max(last.time, facts.asked) if facts.asked else last.time
    own = next((row for row in rows if row["mine"]), None)
    kaggle = config.competition.platform == "kaggle"
    return {
        "time": last.time.isoformat(),
        "age": (now - seen).total_seconds(),
        "lines": last.lines,
        "rank": last.rank,
        "moved": moved(facts.snapshots),
        "ahead": _ahead(rows, own),
        "medal": medal(own["rank"], last.lines) if own and kaggle else "",
        "zones": dict(medal_zones(last.lines)) if kaggle else {},
    }


def _window(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The top, and our lines with their neighbours."""
    places = set(range(min(TOP, len(rows))))
    for place in [place for place, row in enumerate(rows) if row["mine"]][:FINALS]:
        places |= set(range(max(place - AROUND, 0), min(place + AROUND + 1, len(rows))))
    return [rows[place] for place in sorted(places)]


def _ahead(rows: list[dict[str, Any]], own: dict[str, Any] | None) -> dict[str, Any] | None:
    """The next line with a better score than our best, and how far away it is."""
    if own is None:
        return None
    better = [row for row in rows if row["rank"] < own["rank"] and row["score"] != own["score"]]
    if not better:
        return None
    return {**better[-1], "distance": abs(better[-1]["score"] - own["score"])}


def _noise(lines: Sequence[Line], test_size: int) -> dict[str, Any] | None:
    """How far apart two equal submissions can come to lie; from the newest one's interval."""
    if not lines or not test_size:
        return None
    newest = lines[-1]
    error = error_on_test(newest.cv_error, newest.rows, test_size)
    return {"difference": noise_of_difference(error), "test_size": test_size}


def _agreement(lines: Sequence[Line]) -> dict[str, int] | None:
    """Pairs of the newest scored submissions, and those that CV puts in the same order as the score."""
    scored = [(line.cv, line.attempt.score) for line in lines if line.attempt.score is not None][-COMPARED:]
    pairs = [(a, b) for a, b in combinations(scored, 2) if a[0] != b[0] and a[1] != b[1]]
    if not pairs:
        return None
    alike = sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in pairs)
    return {"pairs": len(pairs), "alike": alike}


def _finals(lines: Sequence[Line], config: Config) -> list[dict[str, Any]]:
    """The two with the best guess of their quality, from CV and score together; different files only."""
    sign = -1 if config.competition.greater_is_better else 1
    gap = mean_gap(lines)
    scored = [line for line in lines if line.attempt.score is not None]
    ordered = sorted(scored, key=lambda line: sign * quality(line, gap, config.competition.test_size))
    chosen: dict[str, Line] = {}
    for line in ordered:
        chosen.setdefault(line.attempt.sha256, line)
    return [
        {
            "name": line.attempt.submission.name,
            "remote": line.attempt.remote,
            "cv": line.cv,
            "score": line.attempt.score,
            "estimate": quality(line, gap, config.competition.test_size),
        }
        for line in list(chosen.values())[:FINALS]
    ]


def _remaining(left: Remaining) -> dict[str, Any]:
    resets = left.resets.isoformat() if left.resets else None
    return {
        "today": left.today,
        "per_day": left.per_day,
        "total": left.total,
        "per_person": left.per_person,
        "resets": resets,
    }
