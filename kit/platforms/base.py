"""The surface that every platform has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

State = Literal["waiting", "scored", "failed"]


@dataclass(frozen=True)
class Remaining:
    """Submissions left: ``today`` of ``per_day``; None = no limit."""

    today: int | None
    per_day: int | None


@dataclass(frozen=True)
class Status:
    """Where a submission stands; ``score`` once it is scored, ``message`` where it failed."""

    state: State
    score: float | None = None
    message: str = ""


@dataclass(frozen=True)
class BoardRow:
    """One line of a leaderboard, best first."""

    rank: int
    name: str
    score: float
    mine: bool


class Platform(Protocol):
    """What `kit submit` and `kit lb` need of a platform; failures are `PlatformError`."""

    def check(self, bundle: Path) -> None:
        """Raise where the platform would refuse the file; nothing is spent."""

    def remaining(self) -> Remaining:
        """Submissions left today."""

    def submit(self, bundle: Path, tag: str) -> str:
        """Send the file and return the platform's own id; ``tag`` finds it again after a crash."""

    def find(self, tag: str) -> str | None:
        """The platform's id of an earlier submission with this tag."""

    def status(self, remote: str) -> Status:
        """Where a submission stands."""

    def logs(self, remote: str) -> str:
        """What the platform printed while it ran the submission."""

    def leaderboard(self) -> list[BoardRow]:
        """The public board, best first."""
