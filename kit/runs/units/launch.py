"""Start one process for each unit, pass its reports on, and end all of them together, at a limit of time if asked."""

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.runs.units.process import WORKERS, Cards, failure, start, visible_gpus
from kit.runs.units.worker import ReportLine
from kit.store.files import lock
from kit.store.layout import RunPaths

# Threads that wait for units where the launch has a queue of its own.
WAITING = 512
# A process that was being started at the very moment is asked the next time.
ASK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Unit:
    """One process: what is done (a key of `WORKERS`), to which fold of which run.

    ``reads`` are files beside the cleaned data, the folds and its own that it needs, where they are there.
    """

    kind: str
    spec: FoldSpec
    reads: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What the unit is called in tables and messages."""
        return f"{self.spec.run} {self.kind}" if self.kind in ("features", "measure") else unit_name(self.spec)

    @property
    def description(self) -> Path:
        """The file that says what to do."""
        paths = self.spec.paths
        return {"stress": paths.stress_spec, "test": paths.test_spec}.get(self.kind, paths.spec)

    @property
    def needs_tensorflow(self) -> bool:
        """Whether it runs anything in TensorFlow, as far as can be told from outside."""
        kept = self.spec.engine != "tensorflow" and self.spec.paths.converted.exists()
        return self.spec.resizes or not (kept and self.kind in ("stress", "test"))

    def event(self, report: ReportLine) -> Event:
        """What the unit reports, as an event."""
        return Event("unit", self.name, {"kind": self.kind, "run": self.spec.run, "fold": self.spec.fold, **report})


def unit_name(spec: FoldSpec) -> str:
    """What a fold of a run is called."""
    return f"{spec.run} fold {spec.fold}"


class Launch(Protocol):
    """Runs units, from several threads.

    Where it ``queues``, it takes all units at once, and starts them in that order as places get free.
    """

    @property
    def queues(self) -> bool: ...

    def __call__(self, unit: Unit, emit: Emit) -> None:
        """Run one to its end and pass its reports on; raises `TrainingError` where it failed."""

    def places(self, config: Config) -> int:
        """How many units run side by side."""

    def end(self) -> None:
        """Ask those that run to save their state and end."""


class Processes:
    """`Launch` of a process for every unit; ``modules`` says which module is run for a kind of unit."""

    queues: bool = False

    def __init__(self, modules: Mapping[str, str] = WORKERS) -> None:
        self._modules = modules
        self._started: list[Any] = []
        self._cards = Cards(visible_gpus())

    def __call__(self, unit: Unit, emit: Emit) -> None:
        paths = unit.spec.paths
        paths.root.mkdir(parents=True, exist_ok=True)
        said: ReportLine = {}
        with self._cards.environment() as environment:
            told = self._modules[unit.kind], unit.kind, unit.description, paths.errors, environment
            process = start(*told, fork=unit.needs_tensorflow)
            self._started.append(process)
            with process:
                for line in process.stdout:
                    report = json.loads(line)
                    said = report if report["event"] == "error" else said
                    emit(unit.event(report))
        if process.returncode != 0:
            raise failure(unit.name, unit.spec.run, process.returncode, said, paths.errors)
        emit(unit.event({"event": "done"}))

    def places(self, config: Config) -> int:
        return workers(config)

    def end(self) -> None:
        for process in self._started:
            process.terminate()


def workers(config: Config) -> int:
    """How many units run side by side on this machine."""
    return config.train.workers or len(visible_gpus()) or max(1, (os.cpu_count() or 1) // 2)


def run_units(units: Sequence[Unit], config: Config, emit: Emit, launch: Launch) -> None:
    """Run units side by side, as many as the launch has places for, started in their order.

    Raises the first failure, a `TrainingError`, after the others have finished.
    """
    if not units:
        return
    failures: list[TrainingError] = []
    places = launch.places(config)  # asked in this thread, which is the one that may take signals
    threads = min(len(units), WAITING) if launch.queues else places
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            futures = [pool.submit(launch, unit, emit) for unit in units]
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, TrainingError):
                    failures.append(error)
                elif error is not None:
                    raise error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            launch.end()
            raise
    if failures:
        raise failures[0]


@contextmanager
def locked(runs: Sequence[RunPaths], *, shared: bool = False) -> Iterator[None]:
    """Hold the locks of runs, and remove what a killed process was writing in their folders.

    Where they are ``shared`` with others who read, it only sees to it that nobody trains the runs meanwhile.
    """
    with ExitStack() as stack:
        for paths in runs:
            if not shared or paths.root.exists():
                stack.enter_context(lock(paths.lock, f"run {paths.root.name}", shared=shared))
            for unfinished in () if shared else paths.root.rglob(".*.tmp"):
                unfinished.unlink()
        yield


class TimeLimit:
    """``kit train --max-hours``: a `Launch` that ends before a hosted notebook is taken away, and loses nothing.

    At its limit it asks what runs to save its state and end, and starts nothing afterwards.

    Units that are left are no failure: the same command goes on from their checkpoints. Used as a context, in which
    the time runs; ``launch`` runs the units, by default a process for each.
    """

    def __init__(self, hours: float, launch: Launch | None = None) -> None:
        self._hours, self._launch = hours, launch or Processes()
        self._over, self._finished = threading.Event(), threading.Event()
        self._watch = threading.Thread(target=self._wait, daemon=True)
        self.left: list[str] = []

    def __enter__(self) -> "TimeLimit":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._watch.join()

    def __call__(self, unit: Unit, emit: Emit) -> None:
        if self._over.is_set():
            self.left.append(unit.name)
            return
        try:
            self._launch(unit, emit)
        except TrainingError:
            if not self._over.is_set():
                raise
            self.left.append(unit.name)

    @property
    def queues(self) -> bool:
        return self._launch.queues

    def places(self, config: Config) -> int:
        return self._launch.places(config)

    def end(self) -> None:
        self._launch.end()

    def tell(self, emit: Emit) -> None:
        """Say what is left, if anything is."""
        if self.left:
            names = ", ".join(sorted(self.left))
            emit(Event("warn", f"the limit of {self._hours:g} h was reached with {len(self.left)} units left: {names}"))
            emit(Event("say", "run the same command to continue where they stopped"))

    def _wait(self) -> None:
        if self._finished.wait(self._hours * 3600):
            return
        self._over.set()
        self._launch.end()
        while not self._finished.wait(ASK_AGAIN_SECONDS):
            self._launch.end()
