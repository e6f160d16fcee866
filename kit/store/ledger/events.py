"""Events: facts about a candidate, each in a file of its own that is never written again.

Tables read those of folders that did not change from one file instead of ten thousand, and do without events that
cannot be read. What decides whether something is sent reads every event itself.
"""

import getpass
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from kit.base.events import Emit, Event, silent
from kit.errors import StageError
from kit.store.candidate import Ensemble
from kit.store.files import write_json
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger.facts import FACT, AnyFact, F, aside, encodable, newest, read, read_cache, write_cache
from kit.store.record import Figure, Record

# Of a candidate's folder: when it was made, and the start of the hash of what it was made from.
NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8,}")


class Judged(Record, extra="ignore"):
    """Of ``ensemble.json`` what the tables show; candidates of every earlier kit have it, whatever their blend was."""

    VERSION: ClassVar[int] = Ensemble.VERSION
    OLDER: ClassVar[tuple[int | None, ...]] = Ensemble.OLDER
    COMMAND: ClassVar[str] = Ensemble.COMMAND

    metric: str
    cv: Figure
    stressed: Figure | None = None
    decided: tuple[float, float] | None = None
    rows: int = 0

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """What is shown has not changed."""
        return content


@dataclass(frozen=True)
class Submission:
    """A candidate with everything that is known about it; ``events`` are in the order of their time."""

    name: str
    events: tuple[AnyFact, ...]
    paths: SubmissionPaths

    @cached_property
    def judged(self) -> Judged:
        """The scores of the candidate, read when they are first asked for."""
        return Judged.load(self.paths.ensemble)

    def last(self, kind: type[F]) -> F | None:
        """The newest fact of a kind, if there is one."""
        return newest(self.events, kind)


def add_event(paths: SubmissionPaths, intent: str, fact: F) -> F:
    """Write one fact about an intent of a candidate, synced to disk before this returns."""
    now, who = datetime.now(UTC), ""
    with suppress(KeyError, OSError):  # a container's user without a name
        who = str(encodable(getpass.getuser()))
    fact = fact.model_copy(update={"intent": intent, "time": now, "who": who})
    content = {"kind": fact.kind, **fact.model_dump(mode="json", exclude_defaults=True)}
    name = f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}.json"
    write_json(paths.events / name, {**content, "time": now.isoformat(timespec="microseconds")})
    return fact


def load_submissions(layout: Layout) -> list[Submission]:
    """Every candidate of the project, oldest first; raises `StageError` where an event cannot be read."""
    return [load_submission(layout.submission(name)) for name in candidates(layout)]


def load_submission(paths: SubmissionPaths, damaged: list[str] | None = None) -> Submission:
    """One candidate and its events.

    ``damaged`` takes what is wrong with events that cannot be read, which are left out then; without such a list they
    raise `StageError`.
    """
    events: list[AnyFact] = []
    for path in _files(paths.events):
        try:
            fact = read(path, FACT.validate_json)
            if missing := {"intent", "time"} - fact.model_fields_set:
                raise StageError(f"{path} is damaged: it has no {' and no '.join(sorted(missing))}", aside(path))
            events.append(fact)
        except StageError as error:
            if damaged is None:
                raise
            damaged.append(error.message)
    return Submission(paths.root.name, tuple(events), paths)


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / name for name in sorted(entry.name for entry in entries) if name.endswith(".json")]
    except FileNotFoundError:
        return []
    except OSError:
        return [folder]  # reading it says what is wrong with it


def latest(layout: Layout) -> SubmissionPaths | None:
    """The newest candidate, if there is one."""
    names = candidates(layout)
    return layout.submission(names[-1]) if names else None


def candidates(layout: Layout) -> list[str]:
    """Names of the folders that hold a candidate, oldest first."""
    if not layout.submissions.is_dir():
        return []
    with os.scandir(layout.submissions) as entries:
        # By its name, and by the file that names its members: events alone are a clone's without it.
        return sorted(
            entry.name
            for entry in entries
            if NAME.fullmatch(entry.name) and entry.is_dir() and Path(entry.path, "ensemble.json").exists()
        )


# A folder that changed a moment ago may change again within the same tick of the file system's clock.
SETTLED = 10.0
WORTH_IT = 200  # events read anew; fewer take some hundredths of a second
# By candidate: the time of its folder of events, and the events.
Known = dict[str, tuple[int, tuple[AnyFact, ...]]]
CACHE: TypeAdapter[Known] = TypeAdapter(Known)


def load_for_tables(layout: Layout, emit: Emit = silent) -> list[Submission]:
    """What `load_submissions` returns, from the cache where the folder of events has the same time as then.

    An event that cannot be read is a warning, and left out.
    """
    cached, kept = read_cache(layout.ledger_cache, CACHE.validate_json) or {}, Known()
    found, fresh = [], 0
    for name in candidates(layout):
        paths = layout.submission(name)
        stamp = paths.events.stat().st_mtime_ns if paths.events.is_dir() else 0
        damaged: list[str] = []
        if name in cached and cached[name][0] == stamp:
            submission = Submission(name, cached[name][1], paths)
        else:
            submission = load_submission(paths, damaged)
            fresh += len(submission.events)
        found.append(submission)
        for message in damaged:
            emit(Event("warn", f"{message}; it is skipped"))
        if stamp < (time.time() - SETTLED) * 1e9 and not damaged:
            kept[name] = (stamp, submission.events)
    if fresh >= WORTH_IT:
        write_cache(layout.ledger_cache, CACHE.dump_json(kept))
    return found
