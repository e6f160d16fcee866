"""Attempts: the events of one intent to submit, read as a state.

An intent sends its file at most once. The state follows from which facts are there, not from their order, so that
ledgers of two clones with clocks that disagree say the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from kit.config import Config
from kit.store.ledger.events import Submission, add_event
from kit.store.ledger.facts import Answer, AnyFact, F, Fact, Failure, Intent, Phase, Score, Target, newest

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
    """Those of one phase: scores of other phases are of other images.

    Where nothing is known of the phase it is that of the newest.
    """
    if found and not (phase.id or phase.name):
        phase = Phase(found[-1].phase)
    return [attempt for attempt in found if phase.holds(attempt.phase, attempt.begun.target.phase)]
