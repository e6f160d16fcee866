"""Attempts: the events of one intent to submit, read as a state.

An intent sends its file at most once. The state follows from which facts are there, not from their order, so that
ledgers of two clones with clocks that disagree say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kit.config import Config
from kit.store.ledger.events import Submission
from kit.store.ledger.facts import Answer, AnyFact, F, Failure, Intent, Score, Target, newest

State = Literal["intended", "requested", "refused", "lost", "answered", "failed", "scored"]
# From the strongest fact to the weakest.
STATES: dict[str, State] = {
    "score": "scored",
    "failure": "failed",
    "answer": "answered",
    "lost": "lost",
    "refused": "refused",
    "request": "requested",
}


@dataclass(frozen=True)
class Attempt:
    """One intent and what became of it.

    ``state`` is `intended` (nothing was spent), `requested` (sent, no answer known), `refused` and `lost` (nothing was
    spent, for certain), `answered` (the platform has it), `failed` or `scored`.
    """

    begun: Intent
    submission: Submission
    state: State
    facts: tuple[AnyFact, ...]

    def last(self, kind: type[F]) -> F | None:
        """The newest fact of a kind, if there is one."""
        return newest(self.facts, kind)

    @property
    def intent(self) -> str:
        return self.begun.intent

    @property
    def target(self) -> Target:
        return self.begun.target

    @property
    def tag(self) -> str:
        return self.begun.tag

    @property
    def time(self) -> datetime:
        return self.begun.time

    @property
    def sent(self) -> str:
        """In a few words from which candidate, when and by whom."""
        who = f" by {self.begun.who}" if self.begun.who else ""
        return f"{self.submission.name}, {self.time:%Y-%m-%dT%H:%M} UTC{who}"

    @property
    def remote(self) -> str:
        """The platform's id, empty before it answered."""
        answer = self.last(Answer)
        return answer.remote if answer else ""

    @property
    def score(self) -> float | None:
        """The public score."""
        scored = self.last(Score)
        return scored.score if scored else None

    @property
    def private(self) -> float | None:
        """The private score, once the platform shows it."""
        scored = self.last(Score)
        return scored.private if scored else None

    @property
    def message(self) -> str:
        """Why it failed, where it did."""
        failure = self.last(Failure)
        return failure.message if failure else ""


def attempts(submissions: Iterable[Submission]) -> list[Attempt]:
    """Every intent of the candidates, oldest first."""
    found = []
    for submission in submissions:
        grouped: dict[str, list[AnyFact]] = {}
        for fact in submission.events:
            grouped.setdefault(fact.intent, []).append(fact)
        for facts in grouped.values():
            begun, kinds = newest(facts, Intent), {fact.kind for fact in facts}
            state: State = next((state for kind, state in STATES.items() if kind in kinds), "intended")
            found += [Attempt(begun, submission, state, tuple(facts))] if begun else []
    return sorted(found, key=lambda attempt: (attempt.time, attempt.intent))


def target_of(config: Config) -> Target:
    """Where this project submits now."""
    competition = config.competition
    return Target(competition.platform, competition.url, competition.id, competition.phase)
