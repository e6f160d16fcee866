"""Snapshots of the board: a table and a small summary per change, never written again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from kit.files import read_csv, read_json, sha256_json, write_csv, write_json
from kit.layout import Layout
from kit.ledger.attempts import Target

HEADER = ("rank", "name", "score", "mine", "remote")


class Row(Protocol):
    """A line of a board."""

    @property
    def rank(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def mine(self) -> bool: ...
    @property
    def remote(self) -> str: ...


@dataclass(frozen=True)
class Snapshot:
    """The board at a time: how many lines, which are ours, and where the whole table is."""

    time: datetime
    target: Target
    lines: int
    best: float | None
    mine: tuple[dict[str, Any], ...]
    table: Path

    @property
    def rank(self) -> int | None:
        """Our best rank."""
        return min((int(row["rank"]) for row in self.mine), default=None)

    def rows(self) -> list[dict[str, Any]]:
        """The whole table: rank, name, score, mine, remote."""
        return [
            {
                "rank": int(row["rank"]),
                "name": row["name"],
                "score": float(row["score"]),
                "mine": row["mine"] == "1",
                "remote": row["remote"],
            }
            for row in read_csv(self.table)
        ]


def add_snapshot(layout: Layout, target: Target, rows: Sequence[Row]) -> Snapshot:
    """Keep the board, unless it is what the last snapshot of this target holds; returns the one that holds it."""
    table = [(row.rank, row.name, row.score, int(row.mine), row.remote) for row in rows]
    digest = hashlib.sha256(repr((target, table)).encode()).hexdigest()
    last = latest_snapshot(layout, target)
    if last is not None and last.table.stem.endswith(digest[:8]):
        return last
    now = datetime.now(UTC)
    stem = f"{now:%Y%m%dT%H%M%S%fZ}-{digest[:8]}"
    path = write_csv(layout.boards / f"{stem}.csv", HEADER, table)
    mine = [{"rank": row.rank, "name": row.name, "score": row.score, "remote": row.remote} for row in rows if row.mine]
    best = rows[0].score if rows else None
    record = {"time": now.isoformat(timespec="seconds"), "target": vars(target), "lines": len(rows)}
    summary = write_json(layout.boards / f"{stem}.json", {**record, "best": best, "mine": mine, "table": path.name})
    return _load(summary)


def history(layout: Layout, target: Target) -> list[Snapshot]:
    """Every snapshot of a target, oldest first."""
    found = [_load(path) for path in sorted(layout.boards.glob("*.json"))]
    return [snapshot for snapshot in found if snapshot.target == target]


def latest_snapshot(layout: Layout, target: Target) -> Snapshot | None:
    """The newest snapshot of a target, if there is one."""
    for path in sorted(layout.boards.glob("*.json"), reverse=True):
        snapshot = _load(path)
        if snapshot.target == target:
            return snapshot
    return None


def note_asked(layout: Layout, target: Target) -> None:
    """Note that the board of a target was seen now; outside of what a team shares, for it changes at every look."""
    known = read_json(layout.asked) if layout.asked.exists() else {}
    write_json(layout.asked, {**known, sha256_json(vars(target)): datetime.now(UTC).isoformat(timespec="seconds")})


def asked_at(layout: Layout, target: Target) -> datetime | None:
    """When the board of a target was last seen by this clone."""
    known = read_json(layout.asked) if layout.asked.exists() else {}
    time = known.get(sha256_json(vars(target)))
    return datetime.fromisoformat(time) if time else None


def _load(path: Path) -> Snapshot:
    record = read_json(path)
    return Snapshot(
        datetime.fromisoformat(record["time"]),
        Target(**record["target"]),
        record["lines"],
        record["best"],
        tuple(record["mine"]),
        path.with_name(record["table"]),
    )
