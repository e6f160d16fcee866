"""The epochs of one fold, from any checkpoint to the end. NumPy alone: the network is behind `Learner`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.tasks import Array, Task
from kit.config import RunConfig
from kit.config.runs import EarlyStoppingConfig
from kit.errors import TrainingError
from kit.runs import batches
from kit.runs.batches import EpochRows
from kit.runs.results import Epoch, epochs_since_best, greater_is_better
from kit.runs.spec import FoldSpec, seed_of
from kit.runs.units.worker import Report
from kit.stages.train.checkpoint import Arrays, Checkpoint, Interrupt, Position
from kit.stages.train.steering import count_falls, learning_rate, measure, watched_metrics


class Learner(Protocol):
    """What the loop asks of a network in one stage."""

    def begin_epoch(self, seed: int) -> None:
        """Draw the epoch's dropout from ``seed``."""

    def step(self, inputs: Any, labels: Any, rate: float) -> Any:
        """One step of the optimiser; returns the loss, convertible to float."""

    def judge(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Logits (n, C) of ``rows`` of the data with the weights that would be kept now."""

    def kept(self) -> Arrays:
        """The weights that would be kept now."""

    def keep(self, weights: Arrays | None) -> None:
        """End the stage with ``weights``, or with those that would be kept now."""

    def state(self) -> Arrays:
        """All that the next step depends on."""

    def restore(self, state: Arrays) -> None:
        """Take up a `state`."""


@dataclass(frozen=True, eq=False)
class FoldData:
    """Truth and weights of all rows, and which of them one fold trains on, chooses by and holds out.

    ``labels`` (N,) are the classes by which rows are drawn and held back, see `Task.strata`. ``taught`` (N, W) is what
    is learnt instead of `Task.masses` of the truth, where there are teachers: `kit.stages.train.teach`.
    """

    labels: IntArray
    truth: Array
    task: Task
    train_rows: IntArray
    inner_rows: IntArray
    valid_rows: IntArray
    names: tuple[str, ...]  # of the classes
    weights: npt.NDArray[np.float32]
    taught: npt.NDArray[np.float32] | None = None


class TrainingStage(NamedTuple):
    """One of the ``stages`` of a run: who learns, inputs of an epoch (by row of the data), how they are augmented."""

    learner: Learner
    inputs: Callable[[int], Any]
    augment: batches.Augment | None


class Timing(NamedTuple):
    """One epoch of this process: its stage, its steps, and the seconds of all of them and of judging."""

    stage: int
    steps: int
    stepping: float
    judging: float = 0.0


@dataclass(frozen=True, eq=False)
class FoldRun:
    """One fold while it is trained."""

    spec: FoldSpec
    data: FoldData
    checkpoint: Checkpoint
    report: Report
    interrupt: Interrupt
    timings: list[Timing] = field(default_factory=list)

    def values(self, number: int, metric: str) -> list[float]:
        """A metric of the inner rows after every finished epoch of a stage."""
        return [epoch.inner[metric] for epoch in self.checkpoint.history if epoch.stage == number]


def run_training_stage(run: FoldRun, number: int, stage: TrainingStage) -> None:
    """Train stage ``number`` from where the checkpoint stands; one checkpoint after every epoch.

    Raises `TrainingError` where the loss is no longer a number; the checkpoint keeps the last good epoch and the best
    weights. Raises `Interrupted` where a signal came: after the step and a checkpoint.
    """
    settings = run.spec.settings.stages[number]
    stopping = settings.early_stopping
    if run.checkpoint.inside(number):
        stage.learner.restore(run.checkpoint.part("learner"))
    labels = weighted_labels(run.spec.settings, run.data)
    position = run.checkpoint.position
    for epoch in range(position.epoch if position.stage == number else 0, settings.epochs):
        if stopping and _waited(run, number, stopping) >= stopping.patience:
            break
        _run_epoch(run, number, epoch, stage, labels)
    stage.learner.keep(run.checkpoint.part("best") if stopping else None)


def weighted_labels(settings: RunConfig, data: FoldData) -> npt.NDArray[np.float32]:
    """Soft labels (N, W) of all rows, see `Task.masses`, times the weights of rows and classes."""
    masses = data.task.masses(data.truth, data.names) if data.taught is None else data.taught
    outcomes = data.task.outcomes(len(data.names))
    weights = batches.class_weights(masses[data.train_rows], outcomes, settings.class_weights)
    soft = batches.soft_labels(masses, outcomes, settings.label_smoothing)
    return np.asarray(soft * data.weights[:, None] * weights)


def _waited(run: FoldRun, number: int, stopping: EarlyStoppingConfig) -> int:
    values = run.values(number, stopping.metric)
    return epochs_since_best(values, greater_is_better(stopping.metric), stopping.min_delta)


def _run_epoch(run: FoldRun, number: int, epoch: int, stage: TrainingStage, labels: npt.NDArray[np.float32]) -> None:
    settings, started = run.spec.settings, time.perf_counter()
    loss, rate = _train_epoch(run, number, epoch, stage, labels)
    trained = time.perf_counter()
    data, watched = run.data, watched_metrics(settings, run.data.task.kind)
    inner, valid = (
        measure(watched, stage.learner.judge(rows), data.task, data.truth[rows], data.names) if len(rows) else {}
        for rows in (data.inner_rows, data.valid_rows)
    )
    run.timings[-1] = run.timings[-1]._replace(judging=time.perf_counter() - trained)
    finished = Epoch(number, settings.stages[number].train, epoch, rate, loss, inner, valid)
    run.checkpoint.history.append(finished)
    parts = {"learner": stage.learner.state()}
    stopping = settings.stages[number].early_stopping
    if stopping:
        best = _waited(run, number, stopping) == 0
        parts["best"] = stage.learner.kept() if best else run.checkpoint.part("best")
    run.checkpoint.save(Position(number, epoch + 1), parts)
    run.report({"event": "epoch", "seconds": time.perf_counter() - started, **finished.columns()})
    run.interrupt.check()


def _train_epoch(
    run: FoldRun, number: int, epoch: int, stage: TrainingStage, labels: npt.NDArray[np.float32]
) -> tuple[float, float]:
    """One pass over the training rows, or the rest of one: its mean loss and last learning rate."""
    settings, checkpoint = run.spec.settings, run.checkpoint
    schedule = settings.stages[number].schedule
    done = checkpoint.position.step if checkpoint.position[:2] == (number, epoch) else 0
    losses = list(checkpoint.losses) if done else []
    seed = batches.epoch_seed(settings.seed, run.spec.fold, number, epoch)
    order = batches.epoch_order(run.data.labels, run.data.train_rows, settings.sampling, seed)
    steps = batches.steps_per_epoch(len(order), settings.batch_size)
    rows = EpochRows(stage.inputs(epoch), labels, order)
    if not done:
        stage.learner.begin_epoch(seed_of("dropout", settings.seed, run.spec.fold, number, epoch))
    falls = 0
    if schedule.kind == "plateau":
        values = run.values(number, schedule.metric)
        falls = count_falls(values, greater_is_better(schedule.metric), schedule.patience)
    rate, started = 0.0, time.perf_counter()
    make = batches.batch_maker(rows, settings.batch_size, seed, stage.augment)
    prepared = batches.prefetched(make, range(done, steps), depth=rows.depth(settings.batch_size))
    for step, (inputs, soft) in zip(range(done, steps), prepared, strict=True):
        rate = learning_rate(settings.stages[number], epoch * steps + step, steps, falls)
        losses.append(float(stage.learner.step(inputs, soft, rate)))
        run.report({"event": "step", "stage": number, "epoch": epoch, "step": step + 1, "steps": steps})
        if run.interrupt.came and step + 1 < steps:
            _checked(run, number, epoch, losses)
            best = checkpoint.part("best") if checkpoint.inside(number) else {}
            parts = {"learner": stage.learner.state(), "best": best}
            checkpoint.save(Position(number, epoch, step + 1), parts, losses)
            run.interrupt.check()
    run.timings.append(Timing(number, steps - done, time.perf_counter() - started))
    return _checked(run, number, epoch, losses), rate


def _checked(run: FoldRun, number: int, epoch: int, losses: list[float]) -> float:
    loss = float(np.mean(losses))
    if not math.isfinite(loss):
        what = f"the loss of run `{run.spec.run}` fold {run.spec.fold} became {loss} in epoch {epoch + 1}"
        raise TrainingError(what, f"set a smaller lr than {run.spec.settings.stages[number].lr} in stage {number + 1}")
    return loss
