"""The state of a fold between epochs, in one atomic file.

``model.save`` and ``BackupAndRestore`` are not kill-safe: a failed write destroys the good file before it. Here one
``.npz`` holds weights, optimiser, position and history, and takes the place of the older of two generations.
"""

from __future__ import annotations

import json
import zipfile
from typing import IO, Any

import numpy as np

from kit.files import write_atomic
from kit.layout import FoldPaths

GENERATIONS = 2


class Checkpoint:
    """Where a fold stands; loaded on creation, written after each epoch."""

    def __init__(self, paths: FoldPaths, key: str) -> None:
        self._paths = paths
        self._key = key
        self._arrays: dict[str, Any] = {}
        self.position = (0, 0)
        self.history: list[dict[str, Any]] = []
        self._count = 0
        for generation in range(GENERATIONS):
            self._take_newer(generation)

    def _take_newer(self, generation: int) -> None:
        path = self._paths.checkpoint(generation)
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                state = json.loads(str(file["state"]))
                if state["key"] != self._key or state["count"] <= self._count:
                    return
                self._arrays = {name: file[name] for name in file.files if name != "state"}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            # Missing, or damaged by something other than us: the other generation, or the start, is still good.
            return
        self._count = state["count"]
        self.position = (state["stage"], state["epochs"])
        self.history = state["history"]

    @property
    def resumed(self) -> bool:
        """Whether an earlier process left something to continue from."""
        return self._count > 0

    def epochs_done(self, stage: int) -> int:
        """Finished epochs of a stage that is not before the current one."""
        return self.position[1] if self.position[0] == stage else 0

    def restore_model(self, model: Any) -> None:
        """Fill the network with the saved weights."""
        for number, weight in enumerate(model.weights):
            weight.assign(self._arrays[f"model/{number:04d}"])

    def restore_optimizer(self, stage: int, optimizer: Any) -> None:
        """Fill the optimiser with the saved state, where the checkpoint stands inside this stage."""
        if self.resumed and self.position[0] == stage:
            for number, variable in enumerate(optimizer.variables):
                variable.assign(self._arrays[f"optimizer/{number:04d}"])

    def save(self, stage: int, epochs: int, model: Any, optimizer: Any, line: dict[str, Any]) -> None:
        """Write the state after ``epochs`` epochs of ``stage`` and add ``line`` to the history."""
        self._count += 1
        self.position = (stage, epochs)
        self.history.append(line)
        arrays = {f"model/{i:04d}": np.asarray(v) for i, v in enumerate(model.weights)}
        arrays |= {f"optimizer/{i:04d}": np.asarray(v) for i, v in enumerate(optimizer.variables)}
        state = {
            "key": self._key, "count": self._count, "stage": stage, "epochs": epochs, "history": self.history
        }  # fmt: skip

        def fill(file: IO[bytes]) -> None:
            savez: Any = np.savez  # its stub takes no mapping
            savez(file, state=np.array(json.dumps(state)), **arrays)

        write_atomic(self._paths.checkpoint(self._count % GENERATIONS), fill)

    def delete(self) -> None:
        """Remove both generations, once the fold's own files are written."""
        for generation in range(GENERATIONS):
            self._paths.checkpoint(generation).unlink(missing_ok=True)
