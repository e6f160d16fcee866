"""The state of a fold, in one atomic file, and the signals after which it is written: Ctrl-C, SIGTERM, SIGHUP.

``model.save`` and ``BackupAndRestore`` are not kill-safe: a failed write destroys the good file before it. Here one
``.npz`` holds weights, optimiser, best weights, position and history, and takes the place of the older of two
generations.
"""

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.process import ENDING, take
from kit.runs.results import Epoch
from kit.store.arrays import UNREADABLE
from kit.store.files import write_atomic
from kit.store.layout import FoldPaths

# Whatever happens to the newer file from outside, the one before it is still whole.
GENERATIONS = 2

Arrays = dict[str, npt.NDArray[Any]]


class Position(NamedTuple):
    """Where a fold stands: finished epochs of a stage, and steps of the epoch after them."""

    stage: int
    epoch: int
    step: int = 0


class Checkpoint:
    """Where a fold stands; loaded on creation, written after each epoch and when the process is asked to end."""

    def __init__(self, paths: FoldPaths, key: str) -> None:
        self._paths = paths
        self._key = key
        self._arrays: Arrays = {}
        self._count = 0
        self.position = Position(0, 0)
        self.history: list[Epoch] = []
        self.losses: list[float] = []
        for generation in range(GENERATIONS):
            # Missing, or damaged by something other than us: the other generation, or the start, is still good.
            with suppress(*UNREADABLE), paths.checkpoint(generation).open("rb") as opened, np.load(opened) as file:
                state = json.loads(str(file["state"]))
                if state["key"] == key and state["count"] > self._count:
                    arrays = {name: file[name] for name in file.files if name != "state"}
                    self.position, self.losses = Position(*state["position"]), state["losses"]
                    self.history = [Epoch(*values) for values in state["epochs"]]
                    self._arrays, self._count = arrays, state["count"]

    @property
    def resumed(self) -> bool:
        """Whether an earlier process left something to continue from."""
        return self._count > 0

    def inside(self, stage: int) -> bool:
        """Whether the checkpoint was written in that stage."""
        return self.resumed and self.position.stage == stage

    def part(self, name: str) -> Arrays:
        """The arrays that were saved as one part, empty where it was not saved."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in self._arrays.items() if key.startswith(prefix)}

    def save(self, position: Position, parts: dict[str, Arrays], losses: Sequence[float] = ()) -> None:
        """Write the state at ``position``: named parts of arrays, and the losses of an epoch that is not finished."""
        self._count += 1
        self.position, self.losses = position, list(losses)
        self._arrays = {f"{part}/{name}": value for part, arrays in parts.items() for name, value in arrays.items()}
        state = {
            "key": self._key, "count": self._count, "position": position, "epochs": self.history, "losses": self.losses
        }  # fmt: skip
        arrays = {"state": np.array(json.dumps(state)), **self._arrays}
        path = self._paths.checkpoint(self._count % GENERATIONS)
        write_atomic(path, lambda file: np.savez(file, allow_pickle=True, **arrays))


def delete(paths: FoldPaths) -> None:
    """Remove both generations, once the fold's own files are written."""
    for generation in range(GENERATIONS):
        paths.checkpoint(generation).unlink(missing_ok=True)


class Interrupted(BaseException):
    """The process was asked to end and has saved what it did; ``code`` is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Interrupt:
    """Remembers the first signal that asked the process to end."""

    def __init__(self) -> None:
        self.came = 0

    def listen(self) -> "Interrupt":
        """Take the signals that end a process from now on; further ones change nothing."""
        take(ENDING, self._take)
        return self

    def check(self) -> None:
        """Raise `Interrupted` where a signal came."""
        if self.came:
            raise Interrupted(self.came)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or number
