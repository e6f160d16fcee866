"""Start one process for each unit, pass its reports on, and end all of them together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from kit.config import Config
from kit.errors import TrainingError
from kit.files import lock
from kit.layout import RunPaths
from kit.records import Emit, Event
from kit.runs import FoldSpec
from kit.units.devices import Cards, visible_gpus

# The module that is run for each kind of unit.
WORKERS = {
    "fold": "kit.train.worker",
    "features": "kit.train.worker",
    "measure": "kit.train.worker",
    "stress": "kit.stress.worker",
}


@dataclass(frozen=True)
class Unit:
    """One process: what is done (a key of `WORKERS`), to which fold of which run."""

    kind: str
    spec: FoldSpec

    @property
    def name(self) -> str:
        """What the unit is called in tables and messages."""
        return f"{self.spec.run} {self.kind}" if self.kind in ("features", "measure") else unit_name(self.spec)

    @property
    def description(self) -> Path:
        """The file that says what to do."""
        paths = self.spec.paths
        return paths.stress_spec if self.kind == "stress" else paths.spec


def unit_name(spec: FoldSpec) -> str:
    """What a fold of a run is called."""
    return f"{spec.run} fold {spec.fold}"


class Launch(Protocol):
    """Runs units, from several threads."""

    def __call__(self, unit: Unit, emit: Emit) -> None:
        """Run one to its end and pass its reports on; raises `TrainingError` where it failed."""

    def end(self) -> None:
        """Ask those that run to save their state and end."""


class Processes:
    """`Launch` of a process for every unit."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []
        self._cards = Cards(visible_gpus())

    def __call__(self, unit: Unit, emit: Emit) -> None:
        paths = unit.spec.paths
        paths.root.mkdir(parents=True, exist_ok=True)
        about = {"kind": unit.kind, "run": unit.spec.run, "fold": unit.spec.fold}
        with paths.errors.open("w") as errors, self._cards.environment() as environment:
            process = subprocess.Popen(
                [sys.executable, "-m", WORKERS[unit.kind], unit.kind, str(unit.description)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
            self._started.append(process)
            said: dict[str, Any] = {}
            with process:
                for line in process.stdout or ():
                    report = json.loads(line)
                    said = report if report["event"] == "error" else said
                    emit(Event("unit", unit.name, {**about, **report}))
        if process.returncode != 0:
            raise _failure(unit, process.returncode, said, paths.errors)
        emit(Event("unit", unit.name, {**about, "event": "done"}))

    def end(self) -> None:
        for process in self._started:
            process.terminate()


def workers(config: Config) -> int:
    """How many units run side by side."""
    return config.train.workers or len(visible_gpus()) or max(1, (os.cpu_count() or 1) // 2)


def run_units(units: Sequence[Unit], config: Config, emit: Emit, launch: Launch) -> None:
    """Run units side by side, as many as ``[train] workers`` says.

    Raises
    ------
    TrainingError
        The first failure, after the others have finished.
    """
    failures: list[TrainingError] = []
    with ThreadPoolExecutor(max_workers=workers(config)) as pool:
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
def terminable() -> Iterator[None]:
    """Let SIGTERM end the units as Ctrl-C does: each finishes its step and writes a checkpoint."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def locked(runs: Sequence[RunPaths]) -> Iterator[None]:
    """Hold the locks of runs, and remove what a killed process was writing in their folders."""
    if not runs:
        yield
        return
    with lock(runs[0].lock, f"run {runs[0].root.name}"), locked(runs[1:]):
        for unfinished in runs[0].root.rglob(".*.tmp"):
            unfinished.unlink()
        yield


def _failure(unit: Unit, code: int, said: dict[str, Any], errors: Path) -> TrainingError:
    if said:
        return TrainingError(said["message"], said["hint"])
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        return TrainingError(f"{unit.name} was asked to end and has saved its state", f"kit train {unit.spec.run}")
    if code == -signal.SIGKILL:
        return TrainingError(f"{unit.name} was killed, most likely for want of memory", "[train] workers = 1")
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return TrainingError(f"{unit.name} {how}: {last}", f"cat {errors}")
