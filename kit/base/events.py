"""What a stage has to say while it works; who shows it decides how it looks."""

from collections.abc import Callable
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
