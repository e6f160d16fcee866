"""Codabench's scores and boards as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kit.platforms.base import BoardRow


def named_scores(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Every score of a submission or of its children, by column, and by task where there are several."""
    several = len(rows) > 1
    return {
        (f"{_task(row)}.{score['column_key']}" if several else score["column_key"]): float(score["score"])
        for row in rows
        for score in row["scores"]
    }


def main_score(rows: Sequence[dict[str, Any]], board: dict[str, Any], metric: str) -> float:
    """The score that ranks: of the primary column of ``board``, the mean over tasks."""
    values = [_primary(row["scores"], board, metric) for row in rows]
    return sum(values) / len(values)


def _primary(scores: Sequence[dict[str, Any]], board: dict[str, Any], metric: str) -> float:
    for score in scores:
        if score.get("is_primary"):
            return float(score["score"])
    index = board.get("primary_index", 0)
    column = next((c["key"] for c in board.get("columns") or () if c.get("index") == index), metric)
    named = [score for score in scores if score["column_key"] == column]
    return float((named or sorted(scores, key=lambda score: score.get("index", 0)))[0]["score"])


def board_rows(board: dict[str, Any], username: str) -> list[BoardRow]:
    """The lines that have a score in the primary column; ours by the link to the profile, for names can be anything."""
    lines = [(line, _line_score(line, board)) for line in board["submissions"]]
    return [
        BoardRow(rank, str(line["owner"]), value, _is_mine(line, username), str(line["id"]))
        for rank, (line, value) in enumerate(((li, v) for li, v in lines if v is not None), start=1)
    ]


def is_sorted(board: dict[str, Any]) -> bool:
    """Whether the lines stand in the order of their primary scores."""
    values = [value for line in board["submissions"] if (value := _line_score(line, board)) is not None]
    descending = primary_column(board).get("sorting", "desc") == "desc"
    return values == sorted(values, reverse=descending)


def primary_column(board: dict[str, Any]) -> dict[str, Any]:
    """The column that ranks, as the first task shows it; empty on a board without columns."""
    columns = [column for task in (board.get("tasks") or ())[:1] for column in task["columns"]]
    index = board.get("primary_index", 0)
    return next((column for column in columns if column.get("index") == index), columns[0] if columns else {})


def _line_score(line: dict[str, Any], board: dict[str, Any]) -> float | None:
    key = primary_column(board).get("key")
    values = [float(score["score"]) for score in line["scores"] if key in (None, score["column_key"])]
    return sum(values) / len(values) if values else None


def _is_mine(line: dict[str, Any], username: str) -> bool:
    """By the address of the profile, in which the site may have made a plain word of the user's name."""
    slug = str(line.get("slug_url") or "").rstrip("/").rpartition("/")[2].lower()
    return bool(username) and slug in (username.lower(), _plain(username))


def _plain(username: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", username).strip().lower())


def _task(row: dict[str, Any]) -> str:
    task = row.get("task")
    return str(task.get("name") or task.get("id")) if isinstance(task, dict) else str(task or row["id"])
