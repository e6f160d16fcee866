"""What was submitted and what came of it: one small immutable file per fact, so that clones merge without conflict."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.files import read_csv, read_json, write_csv, write_json
from kit.layout import Layout, SubmissionPaths

BOARD_HEADER = ("time", "platform", "competition", "phase", "rank", "name", "score", "mine")


@dataclass(frozen=True)
class Submission:
    """A candidate with everything that is known about it.

    ``events`` are in the order of their time; ``record`` is the content of ``ensemble.json``.
    """

    name: str
    record: dict[str, Any]
    events: tuple[dict[str, Any], ...]

    def last(self, kind: str) -> dict[str, Any] | None:
        """The newest event of a kind, if there is one."""
        return next((event for event in reversed(self.events) if event["kind"] == kind), None)


def add_event(paths: SubmissionPaths, kind: str, **facts: Any) -> dict[str, Any]:
    """Write one fact about a candidate, synced to disk before this returns."""
    now = datetime.now(UTC)
    event = {"kind": kind, "time": now.isoformat(timespec="microseconds"), "who": _user(), **facts}
    write_json(paths.events / f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}.json", event)
    return event


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def load_submissions(layout: Layout) -> list[Submission]:
    """Every candidate of the project, oldest first."""
    folders = sorted(path.parent for path in layout.submissions.glob("*/ensemble.json"))
    return [load_submission(layout.submission(folder.name)) for folder in folders]


def load_submission(paths: SubmissionPaths) -> Submission:
    """One candidate and its events."""
    events = tuple(read_json(path) for path in sorted(paths.events.glob("*.json")))
    return Submission(paths.root.name, read_json(paths.ensemble), events)


def latest(layout: Layout) -> SubmissionPaths | None:
    """The newest candidate, if there is one."""
    folders = sorted(path.parent.name for path in layout.submissions.glob("*/ensemble.json"))
    return layout.submission(folders[-1]) if folders else None


def append_snapshot(path: Path, rows: Iterable[tuple[Any, ...]]) -> bool:
    """Add rows (`BOARD_HEADER` without its time) to the board's history, unless they are its last ones already."""
    new = [tuple(str(value) for value in row) for row in rows]
    old = [tuple(line[name] for name in BOARD_HEADER) for line in read_csv(path)] if path.exists() else []
    last = [line[1:] for line in old if line[0] == old[-1][0]]
    if new == last:
        return False
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_csv(path, BOARD_HEADER, [*old, *((now, *row) for row in new)])
    return True
