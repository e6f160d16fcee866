"""What was measured after every epoch of a fold, and ``history.csv``, which tells it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kit.config import RunConfig
from kit.judge.metrics.table import METRICS
from kit.runs.results import FoldRecord, RunRecord
from kit.runs.spec import train_again
from kit.store.files import read_csv
from kit.store.layout import RunPaths


class Epoch(NamedTuple):
    """A finished epoch: its stage and what that trained, the last learning rate, the mean loss, and every metric of the
    inner rows (see `kit.stages.train.fold`; none in a run that chooses nothing) and of the held-out ones.
    """

    stage: int
    train: str
    epoch: int
    lr: float
    loss: float
    inner: dict[str, float]
    valid: dict[str, float]

    def columns(self) -> dict[str, str | float]:
        """As a line of ``history.csv``, metrics as ``inner_<metric>`` and ``valid_<metric>``."""
        line: dict[str, str | float] = dict(zip(self._fields[:5], self[:5], strict=True))
        line |= {f"inner_{name}": value for name, value in self.inner.items()}
        return line | {f"valid_{name}": value for name, value in self.valid.items()}

    @classmethod
    def of_columns(cls, line: dict[str, str]) -> "Epoch":
        """The inverse of `columns`."""
        inner, valid = (
            {name.removeprefix(of): float(cell) for name, cell in line.items() if name.startswith(of)}
            for of in ("inner_", "valid_")
        )
        numbers = float(line["lr"]), float(line["loss"])
        return cls(int(line["stage"]), line["train"], int(line["epoch"]), *numbers, inner, valid)


def histories(paths: RunPaths, run: RunRecord) -> dict[int, list[Epoch]]:
    """By fold the epochs of a run, through all stages; folds whose files are not here are left out.

    Raises `StageError` where a history, or the record of its fold, is not as it was written.
    """
    found = {}
    for number in range(run.n_folds * run.repeats):
        fold, again = paths.fold(number), train_again(run.run, number)
        if fold.record.exists():
            FoldRecord.load(fold.record, again).check(fold.root, again, fold.history.name)
            found[number] = [Epoch.of_columns(line) for line in read_csv(fold.history)]
    return found


def epochs_since_best(values: Sequence[float], greater_is_better: bool, min_delta: float = 0.0) -> int:
    """Epochs since the last improvement by more than ``min_delta``; 0 where the last epoch is the best."""
    best, waited = math.inf, 0
    for value in values:
        loss = -value if greater_is_better else value
        waited = 0 if loss < best - min_delta else waited + 1
        best = loss if waited == 0 else best
    return waited


def greater_is_better(metric: str) -> bool:
    """The direction of a metric that is watched; those that only a training knows are losses."""
    return metric in METRICS and METRICS[metric].greater_is_better


def kept(epochs: Sequence[Epoch], settings: RunConfig) -> list[int]:
    """The places of the epochs whose weights the stages of a fold ended with."""
    stages, found = np.array([epoch.stage for epoch in epochs]), []
    for number in np.unique(stages).tolist():
        places, stopping = np.flatnonzero(stages == number).tolist(), settings.stages[number].early_stopping
        since = 0
        if stopping is not None:
            values = [epochs[place].inner[stopping.metric] for place in places]
            since = epochs_since_best(values, greater_is_better(stopping.metric), stopping.min_delta)
        found.append(places[-1 - since])
    return found
