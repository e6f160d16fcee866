"""Attempts: the events of one intent to submit, read as a state.

An intent sends its file at most once. The state follows from which facts are there, not from their order, so that
ledgers of two clones with clocks that disagree say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from kit.config import Config
from kit.ledger.events import Submission
from kit.text import redacted

State = Literal["intended", "requested", "refused", "lost", "answered", "failed", "scored"]
# From the strongest fact to the weakest.
STATES: tuple[tuple[str, State], ...] = (
    ("score", "scored"),
    ("failure", "failed"),
    ("answer", "answered"),
    ("lost", "lost"),
    ("refused", "refused"),
    ("request", "requested"),
)


@dataclass(frozen=True)
class Target:
    """Where a file was sent: the same file to another phase is another submission.

    The address loses its password, for a target is stored with the submission and shared with the team.
    """

    platform: str
    url: str
    competition: str
    phase: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", redacted(self.url))


@dataclass(frozen=True)
class Attempt:
    """One intent and what became of it.

    ``state`` is `intended` (nothing was spent), `requested` (sent, no answer known), `refused` and `lost` (nothing was
    spent, for certain), `answered` (the platform has it), `failed` or `scored`.
    """

    intent: str
    submission: Submission
    state: State
    facts: dict[str, dict[str, Any]]

    @property
    def target(self) -> Target:
        return Target(**self.facts["intent"]["target"])

    @property
    def sha256(self) -> str:
        return str(self.facts["intent"]["sha256"])

    @property
    def tag(self) -> str:
        return str(self.facts["intent"]["tag"])

    @property
    def time(self) -> str:
        return str(self.facts["intent"]["time"])

    @property
    def who(self) -> str:
        return str(self.facts["intent"].get("who", ""))

    @property
    def commit(self) -> str:
        return str(self.facts["intent"].get("commit", ""))

    @property
    def remote(self) -> str:
        """The platform's id, empty before it answered."""
        return str(self.facts.get("answer", {}).get("remote", ""))

    @property
    def score(self) -> float | None:
        """The public score."""
        value = self.facts.get("score", {}).get("score")
        return None if value is None else float(value)

    @property
    def private(self) -> float | None:
        """The private score, once the platform shows it."""
        value = self.facts.get("score", {}).get("private")
        return None if value is None else float(value)


def attempts(submissions: Iterable[Submission]) -> list[Attempt]:
    """Every intent of the candidates, oldest first."""
    found = [attempt for submission in submissions for attempt in _of(submission)]
    return sorted(found, key=lambda attempt: (attempt.time, attempt.intent))


def _of(submission: Submission) -> list[Attempt]:
    grouped: dict[str, dict[str, dict[str, Any]]] = {}
    for event in submission.events:
        if "intent" in event:
            grouped.setdefault(event["intent"], {})[event["kind"]] = event
    return [Attempt(intent, submission, _state(facts), facts) for intent, facts in grouped.items() if "intent" in facts]


def _state(facts: dict[str, dict[str, Any]]) -> State:
    return next((state for kind, state in STATES if kind in facts), "intended")


def target_of(config: Config) -> Target:
    """Where this project submits now."""
    competition = config.competition
    return Target(competition.platform, competition.url, competition.id, competition.phase)
