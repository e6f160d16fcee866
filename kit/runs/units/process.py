"""The process of one unit: on which graphics card, how it is started, and what it means when it ends badly."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.base.process import ENDING
from kit.errors import TrainingError
from kit.runs.units.forks import FORKS
from kit.runs.units.worker import PARENT, ReportLine

VARIABLE = "CUDA_VISIBLE_DEVICES"
# The module that is run for each kind of unit.
WORKERS = {
    "fold": "kit.stages.train.worker",
    "features": "kit.stages.train.worker",
    "measure": "kit.stages.train.worker",
    "test": "kit.stages.train.worker",
    "stress": "kit.stages.stress.worker",
}
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
TALK = re.compile(r"[IWE]\d{4} \d|WARNING: All log messages before absl")


def visible_gpus() -> tuple[str, ...]:
    """Cards that may be used: those of ``CUDA_VISIBLE_DEVICES`` where it is set, else all that nvidia-smi lists.

    TensorFlow is not asked: it would take the memory of every card for the process that only starts the others.
    """
    if VARIABLE in os.environ:
        named = [name.strip() for name in os.environ[VARIABLE].split(",")]
        return tuple(name for name in named if name and name != "-1")
    return tuple(nvidia_smi("--query-gpu=index"))


def nvidia_smi(*query: str) -> list[str]:
    """The lines that nvidia-smi answers, none where there is none or it fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", *query, "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return listed.stdout.splitlines() if listed.returncode == 0 else []


class Cards:
    """Hands the card with the fewest processes to each process, and takes it back."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._used = dict.fromkeys(gpus, 0)
        self._lock = threading.Lock()

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Variables of a process that sees one card only, or this process's own where there are none."""
        if not self._used:
            yield dict(os.environ)
            return
        with self._lock:
            card = min(self._used, key=self._used.__getitem__)
            self._used[card] += 1
        try:
            yield {**os.environ, VARIABLE: card}
        finally:
            with self._lock:
                self._used[card] -= 1


def processor() -> str:
    """What the system calls this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def start(
    module: str, kind: str, description: Path, errors: Path, environment: Mapping[str, str], fork: bool = True
) -> Any:
    """Start the ``main`` of a module as a process, a ``Popen`` whose standard output gives a report a line.

    It is a ``fork`` of a process that has loaded TensorFlow, or else ``python -m MODULE KIND DESCRIPTION``. It holds
    the other end of our pipe and kills itself when we are gone, however that came.
    """
    fork = fork and module in WORKERS.values()  # others know nothing of TensorFlow
    environment, command = {**environment, PARENT: "1"}, [module, kind, str(description)]
    with errors.open("w") as file:
        # Not with cards, whose drivers do not bear forks.
        if fork and not visible_gpus() and (unit := FORKS(command, file.fileno(), environment)):
            return unit
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-m", *command], stdin=pipe, stdout=pipe, stderr=file, text=True, env=environment
        )


def failure(name: str, run: str, code: int, said: ReportLine, errors: Path) -> TrainingError:
    """Why a unit ended with ``code``: what it said itself, else what the code and its standard error tell."""
    if said:
        return TrainingError(str(said["message"]), str(said["hint"]))
    if code in [128 + number for number in ENDING]:
        return TrainingError(f"{name} was stopped and has saved its state", f"kit train {run}")
    if code == -signal.SIGKILL:
        return TrainingError(f"{name} was killed, most likely because memory ran out", "[train] workers = 1")
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    # Where a limit refuses memory some kernels of TensorFlow crash instead of raising an error.
    advice = "[train] workers = 1, if memory ran out; " if -code in CRASHES else ""
    text = errors.read_text(errors="replace") if errors.exists() else ""
    lines = ["no message", *(line for line in text.splitlines() if line.strip() and not TALK.match(line))]
    return TrainingError(f"{name} {how}: {lines[-1]}", f"{advice}cat {shlex.quote(str(errors))}")
