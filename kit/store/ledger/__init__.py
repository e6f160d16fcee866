"""What was submitted and what came of it: one small immutable file per fact, so that clones merge without conflict.

Events are facts about a candidate, each in a file of its own that is never written again. Tables read those of folders
that did not change from one file instead of ten thousand, and do without events that cannot be read. What decides
whether something is sent reads every event itself.

Attempts are the events of one intent to submit, read as a state. An intent sends its file at most once. The state
follows from which facts are there, not from their order, so that ledgers of two clones with clocks that disagree say
the same.
"""

import getpass
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter

from kit.base.events import Emit, Event, silent
from kit.base.text import encodable
from kit.config import Config
from kit.errors import StageError
from kit.store.candidate import Ensemble
from kit.store.files import write_json
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger.facts import FACT, Answer, AnyFact, F, Fact, Failure, Intent, Phase, Score, Target, newest
from kit.store.ledger.snapshots import BoardRow, Snapshot, add_snapshot, history
from kit.store.record import Figure, Record, aside, read, read_cache, write_cache

__all__ = [
    "Attempt", "BoardRow", "Phase", "Snapshot", "Submission", "Target", "add_event", "add_snapshot", "attempts",
    "attempts_of", "history", "latest", "load_for_tables", "load_submission", "load_submissions", "of_phase",
    "target_of",
]  # fmt: skip

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
    """One candidate and its events; `StageError` where one cannot be read, unless ``damaged`` takes what is wrong."""
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
    """`load_submissions`, cached by the time of each folder of events; a damaged event is a warning, and left out."""
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


State = Literal["intended", "requested", "refused", "lost", "answered", "deleted", "failed", "scored"]
# From the strongest fact to the weakest.
STATES: dict[str, State] = {
    "score": "scored",
    "failure": "failed",
    "deleted": "deleted",
    "answer": "answered",
    "lost": "lost",
    "refused": "refused",
    "request": "requested",
}


@dataclass(frozen=True)
class Attempt:
    """One intent and what became of it.

    ``state`` is `intended` (nothing was spent), `requested` (sent, no answer known), `refused` and `lost` (nothing was
    spent, for certain), `answered` (the platform has it), `deleted` (it had it), `failed` or `scored`. ``remote`` is
    the platform's id, empty before it answered, ``score`` the public score, ``private`` is None until the platform
    shows it, and ``message`` says why it failed, where it did, or what crashed before it was scored.
    """

    submission: Submission
    begun: Intent
    facts: list[Fact]
    state: State
    remote: str
    score: float | None
    private: float | None
    message: str

    def last(self, kind: type[F]) -> F | None:
        """The newest fact of a kind, if there is one."""
        return newest(self.facts, kind)

    def note(self, fact: Fact) -> None:
        """Write one more fact about it, synced to disk before this returns; ``state`` stays what it was."""
        self.facts.append(add_event(self.submission.paths, self.begun.intent, fact))

    @cached_property
    def phase(self) -> str:
        """The number of its phase, or else how the configuration spelled it; empty where nothing was said."""
        answer = self.last(Answer)
        return (answer.phase if answer else "") or self.begun.phase or self.begun.target.phase

    def same_phase(self, other: "Attempt") -> bool:
        """Whether both are of one phase, or may be where one of them does not say it."""
        if self.phase == other.phase:
            return True
        return Phase(self.phase, self.begun.target.phase).holds(other.phase, other.begun.target.phase)

    @property
    def remotes(self) -> set[str]:
        """Ids under which a board may list it: its own, and those of its tasks."""
        scored = self.last(Score)
        return {self.remote, *(scored.parts if scored else ())} - {""}

    @property
    def sent(self) -> str:
        """In a few words from which candidate, when and by whom."""
        who = f" by {self.begun.who}" if self.begun.who else ""
        return f"{self.submission.name}, {self.begun.time:%Y-%m-%dT%H:%M} UTC{who}"


def attempts(submissions: Iterable[Submission], target: Target | None = None) -> list[Attempt]:
    """Every intent of the candidates, of those to the competition of ``target`` if it is given; oldest first."""
    found = []
    for submission in submissions:
        grouped: dict[str, list[AnyFact]] = {}
        for fact in submission.events:
            grouped.setdefault(fact.intent, []).append(fact)
        for facts in grouped.values():
            begun, kinds = newest(facts, Intent), {fact.kind for fact in facts}
            if begun is None or not (target is None or target.same_competition(begun.target)):
                continue
            answer, scored, failure = newest(facts, Answer), newest(facts, Score), newest(facts, Failure)
            found.append(
                Attempt(
                    submission,
                    begun,
                    [*facts],
                    state=next((state for kind, state in STATES.items() if kind in kinds), "intended"),
                    remote=answer.remote if answer else "",
                    score=scored.score if scored else None,
                    private=scored.private if scored else None,
                    message=failure.message if failure else scored.message if scored else "",
                )
            )
    return sorted(found, key=lambda attempt: (attempt.begun.time, attempt.begun.intent))


def attempts_of(submissions: Iterable[Submission], target: Target) -> list[Attempt]:
    """Every intent to the competition and phase of ``target``; oldest first."""
    return of_phase(attempts(submissions, target), Phase(name=target.phase))


def target_of(config: Config) -> Target:
    """Where this project submits now."""
    competition = config.competition
    return Target(competition.platform, competition.url, competition.id, competition.phase)


def of_phase(found: Sequence[Attempt], phase: Phase) -> list[Attempt]:
    """Those of one phase, by default of the newest's: scores of other phases are of other images."""
    if found and not (phase.id or phase.name):
        phase = Phase(found[-1].phase)
    return [attempt for attempt in found if phase.holds(attempt.phase, attempt.begun.target.phase)]
