"""What a stage has to say while it works; who shows it decides how it looks."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that a stage has to say while it works; `kit.show.console` decides how it looks.

    ``kind`` is one of `say` (a line for the user), `warn`, `fresh` (nothing to do), `wrote` (a file), `progress`
    (``done`` of ``total``), `table` (a title, a header and rows), `number` (the one figure that matters).
    """

    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """An `Emit` for callers that do not want to hear anything."""


HEARD: ContextVar[Emit] = ContextVar("heard", default=silent)
"""Who hears of the progress of what is given no `Emit`."""
EVERY = 10.0  # seconds between two lines of progress


class Pace:
    """Tells from time to time how many of ``total`` images are done, how many a second, and what time is left."""

    def __init__(self, what: str, total: int, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._emit, self._clock = what, total, emit, clock
        self._done, self._skipped, self._started = 0, 0, clock()
        self._told = self._started

    def __call__(self, n: int, before: bool = False) -> None:
        """Count ``n`` images more, or some that were done ``before``."""
        self._done, self._skipped, now = self._done + n, self._skipped + n * before, self._clock()
        if now - self._told >= EVERY and not before:
            self._told, rate = now, (self._done - self._skipped) / (now - self._started)
            left = duration((self._total - self._done) / rate)
            said = f"{self._what} {self._done:,} of {self._total:,} images, {rate:,.0f} per second, {left} left"
            self._emit(Event("progress", said, {"done": self._done, "total": self._total}))


def duration(seconds: float) -> str:
    """Seconds in the unit a person would say."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
