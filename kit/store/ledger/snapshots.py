"""Snapshots of the board: a table and a small summary per change, never written again."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, FiniteFloat, TypeAdapter, ValidationError

from kit.base.events import Emit, Event, silent
from kit.errors import KitError, StageError
from kit.store.files import read_csv, sha256_json, write_csv, write_json
from kit.store.layout import Layout
from kit.store.ledger.facts import Phase, Target
from kit.store.record import Part, aside, first_problem, read, read_cache, write_cache

HEADER = ("rank", "name", "score", "mine", "remote")


@dataclass(frozen=True)
class BoardRow:
    """One line of a leaderboard, best first; ``remote`` is the submission's id where the platform tells it."""

    rank: int
    name: str
    score: FiniteFloat
    mine: bool
    remote: str = ""


ANY = Phase()
TABLE = TypeAdapter(tuple[BoardRow, ...])
ASKED = TypeAdapter(dict[str, AwareDatetime])


def _ours(rows: object) -> object:
    return [{**row, "mine": True} for row in rows if isinstance(row, dict)] if isinstance(rows, list) else rows


class Snapshot(Part, extra="ignore"):
    """The board at a time: its length, our lines, its table; ``phase`` is empty without phases and of earlier kits."""

    time: AwareDatetime
    target: Target
    phase: str = ""
    lines: int
    mine: Annotated[tuple[BoardRow, ...], BeforeValidator(_ours)]
    table: Path

    @property
    def rank(self) -> int | None:
        """Our best rank."""
        return min((row.rank for row in self.mine), default=None)

    def rows(self) -> tuple[BoardRow, ...]:
        """The whole table; raises `StageError` where the file is missing or damaged."""
        try:
            rows = TABLE.validate_python(read_csv(self.table))
        except ValidationError as error:
            raise StageError(f"{self.table} is damaged: line {first_problem(error)}", aside(self.table)) from None
        except KitError as error:
            raise StageError(error.message, aside(self.table)) from None
        if len(rows) != self.lines:
            raise StageError(f"{self.table} has {len(rows)} lines, expected {self.lines}", aside(self.table))
        return rows


def add_snapshot(layout: Layout, target: Target, rows: Sequence[BoardRow], phase: Phase = ANY) -> Snapshot:
    """Keep the board, unless it is what the last snapshot of this phase holds; returns the one that holds it."""
    table = [(row.rank, row.name, row.score, int(row.mine), row.remote) for row in rows]
    digest = hashlib.sha256(repr((target, table)).encode()).hexdigest()
    last = next(_newest_first(layout, target, silent, phase), None)
    if last is not None and last.table.stem.endswith(digest[:8]):
        return last
    now = datetime.now(UTC)
    path = write_csv(layout.boards / f"{now:%Y%m%dT%H%M%S%fZ}-{digest[:8]}.csv", HEADER, table)
    mine, now = tuple(row for row in rows if row.mine), now.replace(microsecond=0)
    made = Snapshot(time=now, target=target, phase=phase.id, lines=len(rows), mine=mine, table=path)
    best = rows[0].score if rows else None
    record = made.model_dump(mode="json", exclude_defaults=True)
    write_json(path.with_suffix(".json"), {**record, "best": best, "table": path.name})
    return made


def history(layout: Layout, target: Target, emit: Emit = silent, phase: Phase = ANY) -> list[Snapshot]:
    """Every snapshot of a phase, by default of the newest's, oldest first; one that cannot be read is a warning."""
    return list(_newest_first(layout, target, emit, phase))[::-1]


def note_asked(layout: Layout, target: Target, phase: Phase) -> None:
    """Note that the board of a phase was seen now; outside of what a team shares, for it changes at every look."""
    known = read_cache(layout.asked, ASKED.validate_json) or {}
    now = datetime.now(UTC).replace(microsecond=0)
    write_cache(layout.asked, ASKED.dump_json({**known, _key(target, phase): now}))


def asked_at(layout: Layout, target: Target, phase: Phase) -> datetime | None:
    """When the board of a phase was last seen by this clone."""
    known = read_cache(layout.asked, ASKED.validate_json) or {}
    return known.get(_key(target, phase))


def _key(target: Target, phase: Phase) -> str:
    return sha256_json({**vars(target), "phase": phase.id or target.phase})


def _newest_first(layout: Layout, target: Target, emit: Emit, phase: Phase) -> Iterator[Snapshot]:
    if not phase.id:
        phase = Phase(name=target.phase)
    for path in sorted(layout.boards.glob("*.json"), reverse=True):
        try:
            snapshot = _load(path)
        except StageError as error:
            emit(Event("warn", f"{error.message}; this snapshot is skipped"))
            continue
        if target.same_competition(snapshot.target) and phase.holds(snapshot.phase, snapshot.target.phase):
            if phase == ANY:
                phase = Phase(snapshot.phase, snapshot.target.phase)
            yield snapshot


def _load(path: Path) -> Snapshot:
    return read(path, Snapshot.model_validate_json).model_copy(update={"table": path.with_suffix(".csv")})
