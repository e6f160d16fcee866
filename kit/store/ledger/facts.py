"""Facts about an intent to submit, one record per kind.

Keys that a newer kit adds to a fact are ignored; a fact of a kind that this kit does not know is an error, for it may
decide whether something is sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field, TypeAdapter

from kit.base.text import encodable, redacted
from kit.store.record import Part

Said = Annotated[str, BeforeValidator(encodable)]


@dataclass(frozen=True)
class Target:
    """Where a file was sent, in which phase; without the password of the address, for it is shared with the team."""

    platform: str
    url: str
    competition: str
    phase: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", redacted(self.url))

    def same_competition(self, other: "Target") -> bool:
        """Whether both are of one competition, in whatever phase."""
        return replace(self, phase="") == replace(other, phase="")


@dataclass(frozen=True)
class Phase:
    """A phase of a competition by the platform's number and name, and when it ends; empty where there are none."""

    id: str = ""
    name: str = ""
    end: datetime | None = None

    def holds(self, *said: str) -> bool:
        """Whether one of ``said``, numbers or names, is this phase; where either side says nothing, it may be."""
        ours, theirs = ({one.strip().lower() for one in names} - {""} for names in ((self.id, self.name), said))
        return not ours or not theirs or bool(ours & theirs)


class Fact(Part, extra="ignore", strict=True):
    """Base of all; `kit.store.ledger.add_event` says of which intent it is, when it was written and by whom."""

    kind: str
    intent: str = ""
    time: AwareDatetime = datetime.min.replace(tzinfo=UTC)
    who: Said = ""


class Intent(Fact):
    """A file is about to be sent; ``tag`` is its name or message on the platform, ``sha256`` its content.

    ``phase`` is the number of the phase that ``target`` meant at that moment, ``account`` who sends; either is empty
    where the platform has none, or an earlier kit did not say it.
    """

    kind: Literal["intent"] = "intent"
    tag: str
    sha256: str
    target: Target
    file: Said = ""
    commit: str = ""
    by_hand: bool = False
    phase: Said = ""
    account: Said = ""


class Upload(Fact):
    """The upload begins; nothing is spent by it."""

    kind: Literal["upload"] = "upload"


class Uploaded(Fact):
    """The file is on the platform under this key."""

    kind: Literal["uploaded"] = "uploaded"
    key: Said


class Kernel(Fact):
    """A notebook was pushed in this version, 0 = it failed; ``digest`` is of its settings and script, or empty."""

    kind: Literal["kernel"] = "kernel"
    version: int
    digest: str = ""


class Request(Fact):
    """The request that spends a submission is about to leave."""

    kind: Literal["request"] = "request"


class Refusal(Fact):
    """The platform took nothing, for certain."""

    kind: Literal["refused"] = "refused"
    message: Said = ""


class Lost(Fact):
    """The platform does not list it when it no longer can arrive."""

    kind: Literal["lost"] = "lost"


class Answer(Fact):
    """The platform has it under this id; ``found`` = it was asked later, and may have said the ``phase`` too."""

    kind: Literal["answer"] = "answer"
    remote: Said
    found: bool = False
    phase: Said = ""


class Deleted(Fact):
    """The platform had it, and neither shows nor lists it any more."""

    kind: Literal["deleted"] = "deleted"
    remote: Said = ""


class Failure(Fact):
    """The platform could not score it."""

    kind: Literal["failure"] = "failure"
    remote: Said = ""
    message: Said = ""


class Score(Fact):
    """What it got; ``scores`` holds every column by name, where the platform gives more than one.

    ``parts`` are the ids of its tasks, which a board may list in its place, and ``message`` is a crash that its logs
    tell of, looked for where the score is far from what was expected.
    """

    kind: Literal["score"] = "score"
    remote: Said = ""
    score: float
    private: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    parts: tuple[str, ...] = Field(default=(), strict=False)
    message: Said = ""


AnyFact = Annotated[
    Intent | Upload | Uploaded | Kernel | Request | Refusal | Lost | Answer | Deleted | Failure | Score,
    Field(discriminator="kind"),
]
FACT: TypeAdapter[AnyFact] = TypeAdapter(AnyFact)
F = TypeVar("F", bound=Fact)


def newest(facts: Iterable[Fact], kind: type[F]) -> F | None:
    """The last fact of a kind, if there is one."""
    return next((fact for fact in reversed(tuple(facts)) if isinstance(fact, kind)), None)
