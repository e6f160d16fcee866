"""What was measured after every epoch of a fold, and ``history.csv``, which tells it."""

from __future__ import annotations

from typing import NamedTuple

from kit.runs.results import FoldRecord, RunRecord
from kit.runs.spec import train_again
from kit.store.files import read_csv
from kit.store.layout import RunPaths


class Epoch(NamedTuple):
    """A finished epoch: its stage and what that trained, the last learning rate, the mean loss, and every metric of the
    inner rows (see `kit.stages.train.inner`; none in a run that chooses nothing) and of the held-out ones.
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
    def of_columns(cls, line: dict[str, str]) -> Epoch:
        """The inverse of `columns`."""
        inner, valid = (
            {name.removeprefix(of): float(cell) for name, cell in line.items() if name.startswith(of)}
            for of in ("inner_", "valid_")
        )
        numbers = float(line["lr"]), float(line["loss"])
        return cls(int(line["stage"]), line["train"], int(line["epoch"]), *numbers, inner, valid)


def histories(paths: RunPaths, run: RunRecord) -> dict[int, list[Epoch]]:
    """By fold the epochs of a run, through all stages; folds whose files are not here are left out.

    Raises
    ------
    StageError
        Where a history, or the record of its fold, is not as it was written.
    """
    found = {}
    for number in range(run.n_folds * run.repeats):
        fold, again = paths.fold(number), train_again(run.run, number)
        if fold.record.exists():
            FoldRecord.load(fold.record, again).check(fold.root, again, fold.history.name)
            found[number] = [Epoch.of_columns(line) for line in read_csv(fold.history)]
    return found
