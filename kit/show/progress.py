"""Progress of many training units: one live display on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from kit.base.events import Event, duration
from kit.base.text import plain

SPARKS = "▁▂▃▄▅▆▇█"
# Where there is no live display, an epoch is told of at most once in so many seconds.
QUIET_SECONDS = 60.0
ALL = "all epochs"
# A name is cut so that a line with a curve fits into 80 columns.
NAME = 22


@dataclass
class Work:
    """How far one unit is, in the plan's seconds where they were measured, else in steps.

    ``at`` is the place in its plan, ``epoch`` the same in epochs, ``worked`` what of it was done since the start: a
    continued unit starts in the middle, and one that stops early leaves some out.
    """

    epochs: Sequence[int]
    seconds: Sequence[float]
    around: float = 0.0
    at: float = 0.0
    worked: float = 0.0
    epoch: float = 0.0
    curve: list[float] = field(default_factory=list)
    metric: str = ""

    @property
    def total(self) -> float:
        return sum(n * s for n, s in zip(self.epochs, self.seconds, strict=True)) + self.around

    def place(self, stage: int, epoch: float) -> float:
        """Where an epoch of a stage begins in the plan."""
        before = zip(self.epochs[:stage], self.seconds[:stage], strict=True)
        return sum(n * s for n, s in before) + epoch * self.seconds[stage]

    def move_to(self, stage: int, epoch: float) -> None:
        """Count what was done up to there."""
        place = self.place(stage, epoch)
        self.worked += min(max(place - self.at, 0.0), self.seconds[stage])
        self.at, self.epoch = max(self.at, place), sum(self.epochs[:stage]) + epoch

    def finish(self) -> None:
        self.worked += self.around
        self.at, self.epoch = self.total, sum(self.epochs)


class Progress:
    """Shows `plan` and `unit` events; time left is what the plan says, corrected by how fast it goes."""

    def __init__(self, console: RichConsole, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._work: dict[str, Work] = {}
        self._measured, self._workers = False, 1
        self._finished = 0
        self._said = set[str]()
        self._started = self._told = 0.0

    def update(self, event: Event) -> None:
        """Take in a `plan` (what every unit will do) or what a unit says."""
        data = event.data
        match "plan" if event.kind == "plan" else data["event"]:
            case "plan":
                self._start(data)
            case "resumed":
                stage, epoch = data["stage"], data["epoch"]
                if event.text in self._work and stage < len(self._work[event.text].epochs):
                    work = self._work[event.text]  # what lies before was done at another time
                    work.at, work.epoch = work.place(stage, epoch), sum(work.epochs[:stage]) + epoch
                self._console.print(f"{event.text}: resumes at stage {stage + 1}, epoch {epoch + 1}")
            case "measuring":
                self._console.print(f"{data['run']}: timing a few steps of each stage")
            case "told" if data["message"] not in self._said:  # units of a run may say the same
                self._said.add(data["message"])
                self._console.print(plain(data["message"]), markup=False)
            case "features":
                self._show(event.text, data["total"], data["done"], f"view {data['view']}")
            case "pictures":
                self._show(event.text, data["total"], data["done"], data.get("what", "under stress"))
            case "step":
                self._step(event)
            case "epoch":
                self._epoch(event)
            case "done":
                self._finish(event)

    def stop(self) -> None:
        """End the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._tasks.clear()

    def _start(self, data: dict[str, Any]) -> None:
        self.stop()
        alone = {name: {"epochs": [n], "seconds": [1.0], "around": 0.0} for name, n in data["epochs"].items()}
        self._work = {name: Work(**unit) for name, unit in data.get("units", alone).items()}
        self._measured, self._workers = data.get("measured", False), data.get("workers", 1)
        self._finished = 0
        self._started = self._told = self._clock()
        for line in plan_lines(data.get("rows", ()), self._seconds_left()):
            self._console.print(line, soft_wrap=True)
        self._show_all()

    def _step(self, event: Event) -> None:
        work = self._work[event.text]
        part = event.data["step"] / event.data["steps"]
        work.move_to(event.data["stage"], event.data["epoch"] + part)
        self._show(event.text, sum(work.epochs), round(work.epoch, 1), self._note(event.text))
        self._show_all()

    def _epoch(self, event: Event) -> None:
        work = self._work[event.text]
        work.move_to(event.data["stage"], event.data["epoch"] + 1)
        first = next(name for name in event.data if name.startswith("valid_"))
        work.metric = first.removeprefix("valid_")
        work.curve.append(event.data[first])
        self._show_all()
        if self._live is None and self._clock() - self._told > QUIET_SECONDS:
            self._told = self._clock()
            epochs = f"epoch {work.epoch:.0f} of {sum(work.epochs)}"
            self._console.print(f"{event.text}: {epochs}, {self._note(event.text)}, {self._left()}")

    def _finish(self, event: Event) -> None:
        if self._live is not None and event.text in self._tasks:
            self._live.remove_task(self._tasks.pop(event.text))
        if event.data["kind"] not in ("fold", "stress"):
            return
        self._work[event.text].finish()
        self._finished += 1
        count = f"{self._finished} of {len(self._work)}"
        note = "stressed" if event.data["kind"] == "stress" else self._note(event.text)
        left = self._left() if self._finished < len(self._work) else ""
        self._console.print(", ".join(part for part in (f"{event.text}: {note}", count, left) if part))

    def _show(self, name: str, total: float, done: float, note: str) -> None:
        if self._live is None:
            if not (self._console.is_terminal and self._console.width >= 60):
                return
            described, note_ = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
            columns = (described, BarColumn(bar_width=8), MofNCompleteColumn(), note_, TimeElapsedColumn())
            self._live = RichProgress(*columns, console=self._console)
            self._live.start()
        if name not in self._tasks:
            shown = name if len(name) <= NAME else f"{name[: NAME - 9]}…{name[-8:]}"
            self._tasks[name] = self._live.add_task(shown, total=total, note=note)
        self._live.update(self._tasks[name], total=total, completed=done, note=note)

    def _show_all(self) -> None:
        works = self._work.values()
        total, done = sum(sum(work.epochs) for work in works), sum(work.epoch for work in works)
        self._show(ALL, total, round(done, 1), self._left())

    def _note(self, name: str) -> str:
        work = self._work[name]
        return f"{work.metric} {work.curve[-1]:.3f} {sparkline(work.curve)}" if work.curve else "starting"

    def _left(self) -> str:
        seconds = self._seconds_left()
        return "" if seconds is None else f"{duration(seconds)} left"

    def _seconds_left(self) -> float | None:
        """Seconds to the end: the plan's, by the pace so far; None where nothing is known yet."""
        works = self._work.values()
        total, worked = sum(work.total for work in works), sum(work.worked for work in works)
        remaining = total - sum(work.at for work in works)
        # Before a twentieth is done the pace is that of tracing and of empty caches, and the plan knows better.
        if worked > (0.05 * total if self._measured else 0):
            return (self._clock() - self._started) / worked * remaining
        return remaining / self._workers if self._measured else None


def plan_lines(rows: Sequence[Sequence[Any]], seconds: float | None) -> list[str]:
    """The plan (rows of `kit.stages.train.plan.plan_event`) in at most 80 columns; empty where nothing was measured.

    ``seconds`` are those of all runs together, as many at a time as there will be.
    """
    if not rows or seconds is None:
        return []
    width = min(max(len(str(row[0])) for row in rows), 24)
    lines = [f"{'run':{width}} folds epochs  steps per step per fold    total"]
    for run, folds, epochs, steps, step, fold, whole in rows:
        name = run if len(run) <= width else f"{run[: width - 1]}…"
        figures = f"{folds:5} {epochs:6} {steps:6} {step:6.3f} s {duration(fold):>8} {duration(whole):>8}"
        lines.append(f"{name:{width}} {figures}")
    end = datetime.now().astimezone() + timedelta(seconds=seconds)
    return [*lines, f"all runs: at most {duration(seconds)}, done by {end:%H:%M} on {end:%Y-%m-%d}"]


def sparkline(values: list[float]) -> str:
    """The last twelve values as bars between their smallest and largest."""
    shown = values[-12:]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(SPARKS[int((value - low) / span * (len(SPARKS) - 1))] for value in shown)
