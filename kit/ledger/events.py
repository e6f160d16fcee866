"""Events: facts about a candidate, each in a file of its own that is never written again.

Keys that a newer kit adds to a fact are ignored; a fact of a kind that this kit does not know is an error, for it may
decide whether something is sent.
"""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field, TypeAdapter

from kit.errors import StageError
from kit.files import read_json, write_json
from kit.layout import Layout, SubmissionPaths
from kit.ledger.reading import aside, read
from kit.ledger.validated import Validated
from kit.store.record import Part


def encodable(text: object) -> object:
    """Text of others as it can be written: half a surrogate pair would make the file unreadable."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


Said = Annotated[str, BeforeValidator(encodable)]


@dataclass(frozen=True)
class Target:
    """Where a file was sent: the same file to another phase is another submission."""

    platform: str
    url: str
    competition: str
    phase: str


class Fact(Part, extra="ignore", strict=True):
    """What is true of one intent to submit; `add_event` says of which, when it was written and by whom."""

    kind: str
    intent: str = ""
    time: AwareDatetime = datetime.min.replace(tzinfo=UTC)
    who: Said = ""


class Intent(Fact):
    """A file is about to be sent. ``tag`` is its name or message on the platform, ``sha256`` its content."""

    kind: Literal["intent"] = "intent"
    tag: str
    sha256: str
    target: Target
    file: Said = ""
    commit: str = ""
    by_hand: bool = False


class Upload(Fact):
    """The upload begins; nothing is spent by it."""

    kind: Literal["upload"] = "upload"


class Uploaded(Fact):
    """The file is on the platform under this key."""

    kind: Literal["uploaded"] = "uploaded"
    key: Said


class Kernel(Fact):
    """A notebook was pushed in this version; 0 = it failed, and the next try needs another one."""

    kind: Literal["kernel"] = "kernel"
    version: int


class Request(Fact):
    """The request that spends a submission is about to leave."""

    kind: Literal["request"] = "request"


class Refusal(Fact):
    """The platform took nothing, for certain."""

    kind: Literal["refused"] = "refused"
    message: Said = ""


class Lost(Fact):
    """The request never arrived: the platform does not list it when it no longer can arrive."""

    kind: Literal["lost"] = "lost"


class Answer(Fact):
    """The platform has it under this id; ``found`` = it was asked later."""

    kind: Literal["answer"] = "answer"
    remote: Said
    found: bool = False


class Failure(Fact):
    """The platform could not score it."""

    kind: Literal["failure"] = "failure"
    remote: Said = ""
    message: Said = ""


class Score(Fact):
    """What it got; ``scores`` holds every column by name, where the platform gives more than one."""

    kind: Literal["score"] = "score"
    remote: Said = ""
    score: float
    private: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)


AnyFact = Annotated[
    Intent | Upload | Uploaded | Kernel | Request | Refusal | Lost | Answer | Failure | Score,
    Field(discriminator="kind"),
]
FACT: TypeAdapter[AnyFact] = TypeAdapter(AnyFact)
F = TypeVar("F", bound=Fact)


@dataclass(frozen=True)
class Submission:
    """A candidate with everything that is known about it; ``events`` are in the order of their time."""

    name: str
    events: tuple[AnyFact, ...]
    paths: SubmissionPaths

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of ``ensemble.json``, read when it is first asked for."""
        record: dict[str, Any] = read_json(self.paths.ensemble)
        return record

    @cached_property
    def validated(self) -> Validated:
        """What cross-validation says of it, read when it is first asked for."""
        return read(self.paths.ensemble, Validated.model_validate_json)

    def last(self, kind: type[F]) -> F | None:
        """The newest fact of a kind, if there is one."""
        return newest(self.events, kind)


def newest(facts: Iterable[Fact], kind: type[F]) -> F | None:
    """The last fact of a kind, if there is one."""
    return next((fact for fact in reversed(tuple(facts)) if isinstance(fact, kind)), None)


def add_event(paths: SubmissionPaths, intent: str, fact: F) -> F:
    """Write one fact about an intent of a candidate, synced to disk before this returns."""
    now = datetime.now(UTC)
    fact = fact.model_copy(update={"intent": intent, "time": now, "who": _user()})
    content = {"kind": fact.kind, **fact.model_dump(mode="json", exclude_defaults=True)}
    name = f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}.json"
    write_json(paths.events / name, {**content, "time": now.isoformat(timespec="microseconds")})
    return fact


def _user() -> str:
    try:
        return str(encodable(getpass.getuser()))
    except (KeyError, OSError):  # a container's user without a name
        return ""


def load_submissions(layout: Layout) -> list[Submission]:
    """Every candidate of the project, oldest first; raises `StageError` where an event cannot be read."""
    return [load_submission(layout.submission(name)) for name in candidates(layout)]


def load_submission(paths: SubmissionPaths, damaged: list[str] | None = None) -> Submission:
    """One candidate and its events.

    Parameters
    ----------
    paths : SubmissionPaths
    damaged : list of str, optional
        Takes what is wrong with events that cannot be read, which are left out then.

    Raises
    ------
    StageError
        Where there is no such list.
    """
    events: list[AnyFact] = []
    for path in _files(paths.events):
        try:
            events.append(_load(path))
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


def _load(path: Path) -> AnyFact:
    fact = read(path, FACT.validate_json)
    missing = {"intent", "time"} - fact.model_fields_set
    if missing:
        raise StageError(f"{path} is damaged: it has no {' and no '.join(sorted(missing))}", aside(path))
    return fact


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
