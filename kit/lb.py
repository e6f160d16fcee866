"""``kit lb``: the leaderboard with us in it, and cross-validation beside it."""

from __future__ import annotations

from typing import Any

from kit.config import Config
from kit.layout import Layout
from kit.ledger import Submission, append_snapshot, load_submissions
from kit.platforms import BoardRow, open_platform
from kit.records import Emit, Event


def leaderboard(layout: Layout, config: Config, emit: Emit) -> dict[str, Any]:
    """Fetch the board, keep a snapshot, and say where we stand.

    Returns
    -------
    dict
        ``board`` (rank, name, score, mine) and ``submissions`` (name, cv, low, high, score, gap): what ``--json``
        prints.
    """
    platform = open_platform(layout, config)
    board = platform.leaderboard()
    competition = config.competition
    append_snapshot(
        layout.board,
        (
            (competition.platform, competition.id, competition.phase, row.rank, row.name, row.score, int(row.mine))
            for row in board
        ),
    )
    submissions = load_submissions(layout)
    result: dict[str, Any] = {
        "platform": competition.platform,
        "metric": competition.metric,
        "board": [{"rank": r.rank, "name": r.name, "score": r.score, "mine": r.mine} for r in board],
        "submissions": [_line(submission) for submission in submissions],
    }
    _tell(emit, config, board, result["submissions"])
    return result


def _line(submission: Submission) -> dict[str, Any]:
    cv = submission.record["cv"]
    scored = submission.last("score")
    value = scored["score"] if scored else None
    return {
        "name": submission.name,
        "cv": cv["score"],
        "low": cv["low"],
        "high": cv["high"],
        "score": value,
        "gap": None if value is None else value - cv["score"],
        "sent": scored["time"] if scored else None,
    }


def _tell(emit: Emit, config: Config, board: list[BoardRow], lines: list[dict[str, Any]]) -> None:
    title = f"leaderboard: {config.competition.name} on {config.competition.platform}"
    rows = [(row.rank, ("> " if row.mine else "  ") + row.name, row.score) for row in board]
    emit(Event("table", title, {"header": ("rank", "name", config.competition.metric), "rows": rows}))
    table = [
        (
            line["name"],
            line["cv"],
            f"{line['low']:.4f} - {line['high']:.4f}",
            _dash(line["score"]),
            _gap(line["gap"]),
        )
        for line in lines
    ]
    header = ("submission", "CV", "95 % interval", "score", "gap")
    emit(Event("table", "submissions", {"header": header, "rows": table}))
    if lines:
        emit(Event("say", "CV is of the blend on out-of-fold rows; test predictions are means of fold models."))


def _dash(value: float | None) -> str | float:
    return "-" if value is None else value


def _gap(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
