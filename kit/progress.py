"""Progress of many training units: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from kit.records import Event

SPARKS = "▁▂▃▄▅▆▇█"


class Progress:
    """Shows `plan` and `unit` events; time left is estimated from the epochs done since the start."""

    def __init__(self, console: RichConsole) -> None:
        self._console = console
        self._live: RichProgress | None = None
        self._tasks: dict[str, Any] = {}
        self._epochs: dict[str, int] = {}
        self._curves: dict[str, list[float]] = {}
        self._done = 0
        self._finished = 0
        self._started = 0.0

    def update(self, event: Event) -> None:
        """Take in a `plan` (epochs of every unit) or what a unit says."""
        if event.kind == "plan":
            self._start(event.data["epochs"])
        else:
            HANDLERS.get(event.data["event"], Progress._ignore)(self, event)

    def above(self, show: Callable[[], None]) -> None:
        """Print something without breaking the live display."""
        show()

    def stop(self) -> None:
        """End the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start(self, epochs: dict[str, int]) -> None:
        self._epochs, self._started = epochs, time.monotonic()
        self._done = self._finished = 0
        if self._console.is_terminal and self._console.width >= 60:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
            )
            self._live = RichProgress(*columns, console=self._console)
            self._live.start()
            self._tasks["all"] = self._live.add_task("all epochs", total=sum(epochs.values()), note="")

    def _ignore(self, event: Event) -> None:
        """An event that nothing is shown for."""

    def _resumed(self, event: Event) -> None:
        self._console.print(
            f"{event.text}: continues at stage {event.data['stage'] + 1}, epoch {event.data['epoch'] + 1}"
        )

    def _features(self, event: Event) -> None:
        if self._live is not None:
            task = self._task(event.text, event.data["total"])
            self._live.update(task, completed=event.data["done"], note=f"view {event.data['view']}")

    def _pictures(self, event: Event) -> None:
        if self._live is not None:
            task = self._task(event.text, event.data["total"])
            self._live.update(task, completed=event.data["done"], note="under stress")

    def _step(self, event: Event) -> None:
        if self._live is not None:
            part = event.data["step"] / event.data["steps"]
            done = len(self._curves.get(event.text, ())) + part
            task = self._task(event.text, self._epochs.get(event.text, 1))
            self._live.update(task, completed=round(done, 1), note=self._note(event.text))

    def _epoch(self, event: Event) -> None:
        self._curves.setdefault(event.text, []).append(event.data["valid_accuracy"])
        self._done += 1
        if self._live is not None:
            self._live.update(self._tasks["all"], completed=self._done, note=f"{self._left()} left")

    def _finish(self, event: Event) -> None:
        if event.data["kind"] == "features":
            return
        self._finished += 1
        self._done += event.data["kind"] == "stress"
        if self._live is not None and event.text in self._tasks:
            self._live.remove_task(self._tasks.pop(event.text))
        count = f"{self._finished} of {len(self._epochs)}"
        note = "stressed" if event.data["kind"] == "stress" else self._note(event.text)
        self._console.print(f"{event.text}: {note}, {count}, {self._left()} left")

    def _task(self, name: str, total: int) -> Any:
        assert self._live is not None
        if name not in self._tasks:
            self._tasks[name] = self._live.add_task(name, total=total, note="")
        return self._tasks[name]

    def _note(self, name: str) -> str:
        curve = self._curves.get(name, [])
        return f"accuracy {curve[-1]:.3f} {sparkline(curve)}" if curve else "starting"

    def _left(self) -> str:
        remaining = max(sum(self._epochs.values()) - self._done, 0)
        seconds = (time.monotonic() - self._started) / max(self._done, 1) * remaining
        return duration(seconds)


HANDLERS: dict[str, Callable[[Progress, Event], None]] = {
    "resumed": Progress._resumed,
    "features": Progress._features,
    "pictures": Progress._pictures,
    "step": Progress._step,
    "epoch": Progress._epoch,
    "done": Progress._finish,
}


def sparkline(values: list[float], width: int = 12) -> str:
    """The last ``width`` values as bars between their smallest and largest."""
    shown = values[-width:]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(SPARKS[int((value - low) / span * (len(SPARKS) - 1))] for value in shown)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would say."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
