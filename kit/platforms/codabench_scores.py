"""The scores of a submission, and the lines of a board, from Codabench's answers."""

import re
from collections.abc import Sequence

from kit.platforms.codabench_answers import Board, ListedBoard, Row, Task
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


def board_rows(board: ListedBoard, username: str) -> tuple[list[BoardRow], bool]:
    """The lines that have a score in the primary column, and whether they stand in the order of these scores."""
    columns = [column for task in (board.tasks or ())[:1] for column in task.columns]
    ranking = [column for column in columns if column.index == (board.primary_index or 0)]
    primary = next(iter(ranking or columns), None)  # a board may have no columns
    # Ours are known by the link to the profile, for names can be anything; the site may have made a plain word of them.
    slugs = {username.lower(), re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", username).strip().lower())}
    rows: list[BoardRow] = []
    for line in board.submissions:
        values = [cell.score for cell in line.scores if primary is None or cell.column_key == primary.key]
        if values:
            mine = bool(username) and (line.slug_url or "").rstrip("/").rpartition("/")[2].lower() in slugs
            rows.append(BoardRow(len(rows) + 1, line.owner, sum(values) / len(values), mine, str(line.id)))
    scores = [row.score for row in rows]
    return rows, scores == sorted(scores, reverse=primary is None or primary.sorting == "desc")
