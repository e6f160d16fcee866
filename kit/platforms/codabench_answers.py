"""What the kit reads of Codabench's answers, scores included; facts about the interface are in docs/platforms.md."""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StrictBool, model_validator

from kit.platforms.http import Api, Shape
from kit.store.ledger import BoardRow

MOST_PAGES = 1000  # a site whose `next` never ends must not hold the command for ever
Id = int | str


def only(key: str) -> BeforeValidator:
    """The value of this key stands for the whole object."""
    return BeforeValidator(lambda found: found.get(key) if isinstance(found, dict) else found)


class ScoreColumn(Shape):
    """A column of a board."""

    key: str
    index: int | None = None
    sorting: str | None = "desc"


class Task(Shape):
    """A task of a phase, or the columns that it has on a board."""

    id: Id
    name: str | None = None
    columns: tuple[ScoreColumn, ...] = ()
    public_datasets: tuple[Annotated[str | None, only("type")], ...] | None = None  # of the organisers
    ingestion_program: object = "not said"

    def runs_models(self, programs_shown: bool) -> bool | None:
        """Whether it has a program that runs a model; None where that cannot be told.

        Newer sites hide programs from participants unless the competition shows them: then one that is missing proves
        nothing, except beside the reference data, which is hidden first.
        """
        kinds = {*(self.public_datasets or ())}
        if "ingestion_program" in kinds:
            return True
        told = self.ingestion_program is None or "scoring_program" in kinds
        return False if told and (programs_shown or "reference_data" in kinds) else None


class Cell(Shape):
    """A score in a column; it is finite, for what an organiser's program divides by zero is left out."""

    column_key: str
    score: float
    index: int | None = None
    is_primary: bool | None = None


Scores = Annotated[
    tuple[Cell, ...], AfterValidator(lambda cells: tuple(cell for cell in cells if math.isfinite(cell.score)))
]
Child = Annotated[Id, only("id")]


class Phase(Shape):
    """A phase, with what we used of its submissions."""

    id: Id
    name: str
    status: str
    tasks: tuple[Task, ...]
    start: datetime | None = None
    end: datetime | None = None
    execution_time_limit: int | None = None
    has_max_submissions: bool | None = None
    max_submissions_per_day: int | None = None
    used_submissions_per_day: int | None = None
    max_submissions_per_person: int | None = None
    used_submissions_per_person: int | None = None

    def is_named(self, said: str) -> bool:
        """Whether a name or a number means this phase."""
        return said.strip().lower() in (self.name.strip().lower(), str(self.id))


class Board(Shape):
    """A board as the competition describes it."""

    id: Id | None = None
    primary_index: int | None = 0
    columns: tuple[ScoreColumn, ...] | None = None
    submission_rule: str | None = None


class Question(Shape):
    """A question of the fact sheet; ``is_required`` is a boolean or its name, ``selection`` what can be answered."""

    is_required: object = None
    selection: Annotated[tuple[StrictBool | str, ...], BeforeValidator(lambda found: found or ())] = ()

    @property
    def required(self) -> bool:
        return str(self.is_required).lower() == "true"

    @property
    def empty(self) -> bool | str | None:
        """The answer that says nothing: None where the site takes no such answer."""
        return next((value for value in ("", False) if not self.selection or value in self.selection), None)


class Entry(Shape):
    """What a competition says of our entry, and asks with a submission."""

    id: Id = ""
    participant_status: str | None = None
    fact_sheet: dict[str, Question] | None = None


class Detail(Entry):
    """A competition as a participant sees it."""

    id: Id
    phases: tuple[Phase, ...]
    docker_image: str | None = None
    auto_run_submissions: bool | None = None
    queue: object = None
    pages: tuple[Annotated[str | None, only("content")], ...] | None = None
    terms: str | None = None
    leaderboards: tuple[Board, ...] | None = None
    make_programs_available: bool | None = None

    def runs_models(self, phase: Phase) -> set[bool | None]:
        """What is known of the tasks of a phase."""
        return {task.runs_models(bool(self.make_programs_available)) for task in phase.tasks}


class Listed(Shape):
    """A line of a list: of submissions, or of competitions, which have a title."""

    id: int
    title: str = ""
    parent: Id | None = None
    filename: str | None = None

    @property
    def tag(self) -> str:
        """The name of its file without its ending."""
        return (self.filename or "").removesuffix(".zip")


class Row(Shape):
    """A submission, or one of its tasks."""

    id: Id
    status: str
    scores: Scores
    phase: Id | None = None
    status_details: str | None = None
    children: tuple[Child, ...] | None = None
    task: Task | Id | None = None
    leaderboard: Id | None = None
    on_leaderboard: bool | None = None


class Log(Shape):
    """Where a log is, behind a signed address."""

    name: str
    data_file: str | None = None


class Details(Shape):
    """The logs of a submission."""

    logs: tuple[Log, ...] | None = None


class BoardLine(Shape):
    """A line of a board."""

    id: Id
    owner: str
    scores: Scores
    slug_url: str | None = None


class ListedBoard(Shape):
    """A board with its lines, in the order of their rank."""

    submissions: tuple[BoardLine, ...]
    tasks: tuple[Task, ...] | None = None
    primary_index: int | None = 0


class Permission(Shape):
    """Whether a submission would be taken now."""

    can: bool
    reason: str | None = None


class Profile(Shape):
    """Who we are."""

    username: str | None = None


class Cancelled(Shape):
    """Whether a submission was ended before its result."""

    canceled: bool = False


class Slot(Shape):
    """Where a file goes, by a signed address."""

    key: str
    sassy_url: str


class Token(Shape):
    """What a password is exchanged for."""

    token: str


class Page(Shape):
    """A part of a list; older sites give all of it at once."""

    results: tuple[Listed, ...]
    next: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        return {"results": value} if isinstance(value, list) else value


def pages(api: Api, path: str, **query: str | int) -> list[Listed]:
    """All rows of a list, which newer sites cut into pages."""
    rows: list[Listed] = []
    for page in range(1, MOST_PAGES + 1):
        found = api.get(path, Page, **query, page_size=100, page=page)
        rows += found.results
        if not found.next:
            break
    return rows


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
