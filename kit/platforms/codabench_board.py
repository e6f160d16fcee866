"""Codabench's scores and boards as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.platforms.codabench_answers import Board, BoardLine, Column, Row, Table, Task
from kit.store.ledger import BoardRow


def named_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Every score of a submission or of its children, by column, and by task where there are several."""
    found: dict[str, float] = {}
    for row in rows:
        task = row.task
        name = str(task.name or task.id) if isinstance(task, Task) else str(task or row.id)
        before = f"{name}." if len(rows) > 1 else ""
        found |= {f"{before}{cell.column_key}": cell.score for cell in row.scores}
    return found


def main_score(rows: Sequence[Row], board: Board, metric: str) -> float:
    """The score that ranks: of the primary column of ``board``, the mean over tasks."""
    column = next((c.key for c in board.columns or () if c.index == (board.primary_index or 0)), metric)
    values = []
    for row in rows:
        primary = [cell for cell in row.scores if cell.is_primary]
        named = [cell for cell in row.scores if cell.column_key == column]
        values.append((primary or named or sorted(row.scores, key=lambda cell: cell.index or 0))[0].score)
    return sum(values) / len(values)


def board_rows(board: Table, username: str) -> list[BoardRow]:
    """The lines that have a score in the primary column; ours by the link to the profile, for names can be anything."""
    lines = [(line, value) for line in board.submissions if (value := _line_score(line, board)) is not None]
    return [
        BoardRow(rank, line.owner, value, _is_mine(line, username), str(line.id))
        for rank, (line, value) in enumerate(lines, start=1)
    ]


def is_sorted(board: Table) -> bool:
    """Whether the lines stand in the order of their primary scores."""
    values = [value for line in board.submissions if (value := _line_score(line, board)) is not None]
    column = primary_column(board)
    return values == sorted(values, reverse=column is None or column.sorting == "desc")


def primary_column(board: Table) -> Column | None:
    """The column that ranks, as the first task shows it; None on a board without columns."""
    columns = [column for task in (board.tasks or ())[:1] for column in task.columns]
    ranking = [column for column in columns if column.index == (board.primary_index or 0)]
    return next(iter(ranking or columns), None)


def _line_score(line: BoardLine, board: Table) -> float | None:
    column = primary_column(board)
    values = [cell.score for cell in line.scores if column is None or cell.column_key == column.key]
    return sum(values) / len(values) if values else None


def _is_mine(line: BoardLine, username: str) -> bool:
    """By the address of the profile, in which the site may have made a plain word of the user's name."""
    slug = (line.slug_url or "").rstrip("/").rpartition("/")[2].lower()
    plain = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", username).strip().lower())
    return bool(username) and slug in (username.lower(), plain)
