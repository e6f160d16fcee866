"""What training wrote of a run, as later stages read it: records of folds, of runs and of predictions of the test.

``history.csv`` of a fold tells what was measured after every epoch.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np

from kit.base.events import Emit, Event
from kit.config import RunConfig
from kit.errors import StageError
from kit.images.corrupt.plan import StressPlan
from kit.judge.metrics.table import METRICS
from kit.runs.spec import FoldSpec, train_again
from kit.store.data import Index, UnlabelledRecord
from kit.store.files import read_csv, sha256_json
from kit.store.layout import RunPaths
from kit.store.predictions import Predictions, load_predictions
from kit.store.record import Digests, Made, Record

# Raised whenever the same weights would predict, or the same folds would be joined to, something else.
PREDICT_VERSION = 1
JOIN_VERSION = 1

Found = TypeVar("Found")


class FoldRecord(Made):
    """``fold.json``, written last: a trained fold, its weights and its predictions of the held-out rows."""

    versions: Digests


class RunRecord(Made):
    """``run.json``: the out-of-fold predictions of a run whose folds are all trained."""

    VERSION: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int | None, ...]] = (None,)

    run: str
    config: RunConfig
    classes: tuple[str, ...]
    n_folds: int
    repeats: int
    versions: Digests


class PredictedRecord(Made):
    """``test.json`` of a fold or a run: its predictions of the test images."""


class PredictionSpec(Record):
    """What a process is told that predicts with a trained fold: the test images, or held-out ones under a ``plan``."""

    COMMAND: ClassVar[str] = "kit train"

    fold: FoldSpec
    made_from: Digests
    plan: StressPlan | None = None


def unless_damaged(look: Callable[[], Found | None], emit: Emit) -> Found | None:
    """What ``look`` finds; None, with a warning, where it finds damage: the caller makes those files again."""
    try:
        return look()
    except StageError as error:
        emit(Event("warn", f"{error.message}; it will be created again"))
        return None


def fold_lineage(spec: FoldSpec) -> Digests:
    """What a trained fold is made from; raises `StageError` where it has a teacher that is not trained."""
    taught = {t.run: FoldRecord.load(t.paths.record, t.again).files[t.paths.weights.name] for t in spec.taught_by}
    return {"run": spec.key, "fold": str(spec.fold), **{f"teacher {name}": weights for name, weights in taught.items()}}


def trained(spec: FoldSpec) -> FoldRecord | None:
    """The record of a fold that is trained and whose predictions are here; None where it has to be trained.

    The weights need not be here: not everybody who blends has those of everybody. So it stays
    trained where another engine is to predict. Raises `StageError` where a file was changed after it was written.
    """
    if any(trained(teacher) is None for teacher in spec.taught_by):
        return None
    made_from, needed = fold_lineage(spec), (spec.paths.valid.name,)
    return FoldRecord.fresh(spec.paths.record, made_from, spec.again, needed, free="engine")


def require(spec: FoldSpec) -> FoldRecord:
    """The record of a trained fold; raises `StageError` where it is not trained."""
    record = trained(spec)
    if record is None:
        what = f"fold {spec.fold} of run `{spec.run}` has no predictions"
        raise StageError(what, f"kit train {spec.run} --fold {spec.fold}")
    return record


def require_weights(spec: FoldSpec) -> FoldRecord:
    """The record of a trained fold whose weights are here and as they were written; raises `StageError` otherwise."""
    record = require(spec)
    record.check(spec.paths.root, spec.again, spec.paths.weights.name)
    return record


def forward_lineage(spec: FoldSpec, record: FoldRecord) -> Digests:
    """What any prediction of a trained fold is made from, beside the images."""
    described = sha256_json([spec.network, spec.settings.views])
    weights = record.files[spec.paths.weights.name]
    return {"predict": str(PREDICT_VERSION), "weights": weights, "network": described, **engine_lineage(spec)}


def engine_lineage(spec: FoldSpec) -> Digests:
    """The engine of predictions; TensorFlow, which was alone at first, is not named: what it predicted stays fresh."""
    return {} if (engine := spec.engine) == "tensorflow" else {"engine": engine}


def run_lineage(folds: Sequence[FoldSpec], index: Index) -> Digests:
    """What the joined predictions of a run are made from; raises `StageError` where a fold is not trained."""
    valid = [require(spec).files[spec.paths.valid.name] for spec in folds]
    return {
        "join": str(JOIN_VERSION),
        "run": folds[0].key,
        "folds": sha256_json(valid),
        "classes": index.parts["classes"],
    }


def joined(folds: Sequence[FoldSpec], index: Index) -> RunRecord | None:
    """The record of a run that is joined from its present folds; None where it has to be joined."""
    made_from, again = run_lineage(folds, index), f"kit train {folds[0].run}"
    return RunRecord.fresh(folds[0].run_paths.manifest, made_from, again)


def is_complete(folds: Sequence[FoldSpec], index: Index) -> bool:
    """Whether all folds of a run are trained and joined."""
    return all(trained(spec) for spec in folds) and joined(folds, index) is not None


def require_joined(folds: Sequence[FoldSpec], index: Index) -> RunRecord:
    """The record of a joined run; raises `StageError` where it is not joined from its present folds."""
    record = joined(folds, index)
    if record is None:
        raise StageError(f"run `{folds[0].run}` has no joined predictions", f"kit train {folds[0].run}")
    return record


def load_oof(folds: Sequence[FoldSpec], index: Index) -> Predictions:
    """The out-of-fold predictions of a run; raises `StageError` where they are not those of its present folds."""
    require_joined(folds, index)
    return load_predictions(folds[0].run_paths.oof)


def lineage_of_test(spec: FoldSpec, record: FoldRecord, test: UnlabelledRecord) -> Digests:
    """What a fold's predictions of the test images are made from."""
    return {**forward_lineage(spec, record), "test": test.images}


def predicted(spec: FoldSpec, test: UnlabelledRecord) -> PredictedRecord | None:
    """The record of a fold's predictions of the present test images; None where they have to be made."""
    made_from = lineage_of_test(spec, require(spec), test)
    return PredictedRecord.fresh(spec.paths.test_record, made_from, f"kit train {spec.run}")


def run_lineage_of_test(folds: Sequence[FoldSpec], index: Index, test: UnlabelledRecord) -> Digests | None:
    """What a run's predictions of the test images are made from; None where a fold has not predicted them."""
    records = [predicted(spec, test) for spec in folds]
    found = [record.files[folds[0].paths.test.name] for record in records if record is not None]
    if len(found) < len(folds):
        return None
    return {"join": str(JOIN_VERSION), "folds": sha256_json(found), "classes": index.parts["classes"]}


def load_test(folds: Sequence[FoldSpec], index: Index, test: UnlabelledRecord) -> Predictions:
    """A run's predictions of the present test images; raises `StageError` where it has not predicted them."""
    made_from, paths = run_lineage_of_test(folds, index, test), folds[0].run_paths
    again = f"kit train {folds[0].run}"
    if made_from is None or PredictedRecord.fresh(paths.test_record, made_from, again) is None:
        raise StageError(f"run `{folds[0].run}` has no predictions for the current test images", again)
    return load_predictions(paths.test)


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
    """By fold the epochs of a run, through all stages; folds without files here, or without an epoch, are left out.

    Raises `StageError` where a history, or the record of its fold, is not as it was written.
    """
    found = {}
    for number in range(run.n_folds * run.repeats):
        fold, again = paths.fold(number), train_again(run.run, number)
        if fold.record.exists():
            FoldRecord.load(fold.record, again).check(fold.root, again, fold.history.name)
            found[number] = [Epoch.of_columns(line) for line in read_csv(fold.history)]
    return {number: epochs for number, epochs in found.items() if epochs}


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
    return metric in METRICS and METRICS[metric].measure.greater_is_better


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
