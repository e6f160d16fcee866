"""Events: facts about a candidate, each in a file of its own that is never written again."""

from __future__ import annotations

import getpass
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.errors import StageError
from kit.files import read_json, write_json
from kit.layout import Layout, SubmissionPaths


@dataclass(frozen=True)
class Submission:
    """A candidate with everything that is known about it; ``events`` are in the order of their time."""

    name: str
    events: tuple[dict[str, Any], ...]
    paths: SubmissionPaths

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of ``ensemble.json``, read when it is first asked for."""
        record: dict[str, Any] = read_json(self.paths.ensemble)
        return record

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
    return [load_submission(layout.submission(name)) for name in candidates(layout)]


def load_submission(paths: SubmissionPaths) -> Submission:
    """One candidate and its events."""
    folder = str(paths.events)
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
    except FileNotFoundError:
        names = []
    return Submission(paths.root.name, tuple(_read(f"{folder}/{name}") for name in names), paths)


def latest(layout: Layout) -> SubmissionPaths | None:
    """The newest candidate, if there is one."""
    names = candidates(layout)
    return layout.submission(names[-1]) if names else None


def ready(layout: Layout) -> SubmissionPaths | None:
    """The newest candidate that is proven and may go out, if there is one."""
    found = [layout.submission(name) for name in candidates(layout)]
    return next((paths for paths in reversed(found) if paths.proof.exists()), None)


def candidates(layout: Layout) -> list[str]:
    """Names of the folders that hold a candidate, oldest first."""
    if not layout.submissions.is_dir():
        return []
    with os.scandir(layout.submissions) as entries:
        # A folder is a candidate by the file that names its members; events alone are a clone's without it.
        return sorted(entry.name for entry in entries if entry.is_dir() and Path(entry.path, "ensemble.json").exists())


def _read(path: str) -> dict[str, Any]:
    """One event. Leaner than `read_json`: a season has ten thousand."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)
    try:
        event: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise StageError(f"{Path(path)} is not JSON: {error}", f"git checkout -- {path}") from error
    return event
