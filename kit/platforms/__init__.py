"""Who scores: one table, one surface, and the words it speaks in.

Adding a platform is a class with the methods of `Platform` and a line in `kit.config.competition.PLATFORMS`; the
contract tests then run on it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate, repeat
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal, Protocol

from kit.base.events import Emit, silent
from kit.config import Config
from kit.config.competition import PLATFORMS
from kit.errors import PlatformError
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, BoardRow, Phase

PUBLIC_SITE = "https://www.codabench.org"  # the Codabench site where `competition.url` names no other

# Questions in a row about a submission that is done before it counts as one without a score, or as one that is not
# there: both sites list it, and post its score, some moments after they say so.
PATIENCE = 6


class Refused(PlatformError):
    """The platform did not take the submission, for certain: nothing was spent."""


class Unreachable(PlatformError):
    """No answer at all, for there is no connection or no credentials: the next question would get none either."""


class Absent(PlatformError):
    """The platform knows no such thing, or hides it from us."""


class Unsure(PlatformError):
    """The platform was asked to take the submission and gave no clear answer: it must be asked before anything else."""


@dataclass(frozen=True)
class Waits:
    """How patient the kit is; all in seconds. A test puts other functions in the place of ``sleep`` and ``clock``."""

    # The pause between two questions starts at `first` and grows to `longest`.
    first: float = 5.0
    longest: float = 60.0
    factor: float = 1.5
    # Time-outs of one request.
    connect: float = 10.0
    read: float = 60.0
    tries: int = 4  # of a harmless request, before the platform counts as unreachable
    settle: float = 900.0  # an unanswered submission that the platform does not list after this time did not arrive
    obey: float = 600.0  # the longest pause that a busy platform may ask for while somebody waits
    # For a notebook, or for a score, which `kit lb` picks up afterwards: Kaggle lets a notebook run for 12 hours.
    end: float = 12 * 3600.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time

    def pauses(self) -> Iterator[float]:
        """The pauses between questions, without an end."""
        return accumulate(repeat(self.first), lambda pause, _: min(pause * self.factor, self.longest))


@dataclass(frozen=True)
class Setting:
    """What a platform is opened with."""

    layout: Layout
    config: Config
    waits: Waits = field(default_factory=Waits)
    emit: Emit = silent


@dataclass(frozen=True)
class Remaining:
    """Submissions left today and in total, of so many; None = no limit or unknown; ``resets`` ends the day's count."""

    today: int | None = None
    per_day: int | None = None
    total: int | None = None
    per_person: int | None = None
    resets: datetime | None = None

    @property
    def now(self) -> int | None:
        """How many can be sent at this moment."""
        return min((value for value in (self.today, self.total) if value is not None), default=None)

    @property
    def until(self) -> str:
        """When the day's count starts again, as the end of a sentence; empty where there is none."""
        if self.resets is None or self.today is None:
            return ""
        return f"; the count resets at midnight UTC ({self.resets.astimezone():%H:%M} local time)"

    @property
    def counts(self) -> str:
        """Every known count in words, with its limit."""
        found = ((self.today, self.per_day, "today"), (self.total, self.per_person, "in total"))
        known = [(left, f" of {limit}" if limit is not None else "", span) for left, limit, span in found]
        return ", ".join(f"{left}{limit} {span}" for left, limit, span in known if left is not None)


def midnight() -> datetime:
    """The end of the day that the sites count by, which is UTC's."""
    return (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Status:
    """Where a submission stands; ``score`` once it is scored, ``message`` where it failed or what it waits for.

    ``scores`` holds every column by name, where the platform gives more than one, and ``parts`` the ids of its tasks.
    """

    state: Literal["waiting", "scored", "failed"]
    score: float | None = None
    message: str = ""
    private: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()


class Platform(Protocol):
    """What `kit submit` and `kit lb` need of a platform; failures are `PlatformError`."""

    private_scores: bool = False
    """Whether a private score appears some time after the public one."""

    def takes_table(self) -> bool:
        """Whether it scores predictions, so that no bundle is needed."""
        return False

    def file(self, paths: SubmissionPaths) -> Path:
        """The file of a candidate that goes to this platform."""
        return paths.bundle

    def phase(self, said: str = "") -> Phase:
        """The phase with this number or name, by default the one that a submission goes to; empty without phases."""
        return Phase()

    def phase_of(self, remote: str) -> str:
        """The number of the phase that a submission was sent to; empty without phases."""
        return ""

    def account(self) -> str:
        """Whose credentials these are, where the platform shows each account its own submissions only."""
        return ""

    def check(self, file: Path) -> list[str]:
        """Raise where the platform would refuse the file; nothing is spent. Returns what is worth a warning."""

    def remaining(self) -> Remaining:
        """Submissions left; by default there is no limit."""
        return Remaining()

    def submit(self, file: Path, tag: str, journal: Attempt) -> str:
        """Send the file once and return the platform's own id.

        The step that spends a submission is noted as `request` before it leaves. `Refused` means that nothing was
        spent, `Unsure` that it may have been; any other `PlatformError` comes before that step.
        """

    def find(self, digest: str, phase: str = "") -> list[tuple[str, str]]:
        """Id and tag of ours in a phase, or in the current one, whose tag ends with eight hex digits, newest first."""

    def status(self, remote: str) -> Status:
        """Where a submission stands."""

    def logs(self, remote: str) -> str:
        """What the platform printed while it ran the submission: the part that explains a failure."""

    def leaderboard(self) -> list[BoardRow]:
        """The public board, best first."""

    def manual(self) -> bool:
        """Whether a scored submission stays off the board until its owner puts it there."""
        return False

    def cancel(self, remote: str) -> str:
        """End a submission that has no result yet; returns what happened."""
        raise PlatformError("this platform cannot cancel a submission")

    def rerun(self, remote: str) -> str:
        """Let the platform run a submission once more; returns the id of the new one."""
        raise PlatformError("this platform cannot run a submission again")

    def publish(self, remote: str) -> str:
        """Put a scored submission on a board that is filled by hand; returns what happened."""
        return "submissions appear on this leaderboard automatically"


def open_platform(layout: Layout, config: Config, waits: Waits | None = None, emit: Emit = silent) -> Platform:
    """The configured platform; nothing is sent yet."""
    make: Callable[[Setting], Platform] = resolve_name(PLATFORMS[config.competition.platform])
    return make(Setting(layout, config, waits or Waits(), emit))
