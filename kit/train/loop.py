"""The epochs of one fold, from any checkpoint to the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.config import StageConfig
from kit.errors import TrainingError
from kit.records import IntArray
from kit.runs import FoldSpec, seed_of
from kit.runtime.backbones import Network
from kit.train import batches
from kit.train.batches import Rows
from kit.train.checkpoint import Checkpoint
from kit.train.networks import make_optimizer, reseed, set_trainable

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class StageData:
    """What one stage trains on: the half of the network that learns, its inputs, and the rows to watch."""

    model: Any
    epoch_inputs: Callable[[int], Any]
    watch: Callable[[], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class FoldData:
    """Labels and rows of one fold."""

    labels: IntArray
    train_rows: IntArray
    valid_rows: IntArray
    classes: int


def learning_rate(stage: StageConfig, step: int, steps: int) -> float:
    """The rate of step ``step`` of ``steps`` in a stage (cosine: Loshchilov & Hutter 2017, without restarts)."""
    if stage.schedule == "constant":
        return stage.lr
    return stage.lr * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))


@dataclass(frozen=True, eq=False)
class FoldRun:
    """One fold while it is trained."""

    spec: FoldSpec
    network: Network
    data: FoldData
    checkpoint: Checkpoint
    report: Report


def run_stage(run: FoldRun, number: int, stage_data: StageData, augment: batches.Augment | None) -> None:
    """Train stage ``number`` from where the checkpoint stands; one checkpoint after every epoch."""
    settings, data = run.spec.settings, run.data
    stage = settings.stages[number]
    set_trainable(run.network, stage.train, settings.backbone, settings.weights != "none")
    optimizer = make_optimizer(stage, stage_data.model.trainable_variables)
    run.checkpoint.restore_optimizer(number, optimizer)
    weights = batches.class_weights(data.labels[data.train_rows], data.classes, settings.class_weights)
    train_step = compile_step(stage_data.model, optimizer, weights)
    soft = batches.soft_labels(data.labels, data.classes, settings.label_smoothing)
    for epoch in range(run.checkpoint.epochs_done(number), stage.epochs):
        started = time.perf_counter()
        reseed(stage_data.model, seed_of("dropout", settings.seed, run.spec.fold, number, epoch))
        rows = Rows(stage_data.epoch_inputs(epoch), soft, data.train_rows)
        loss = _train_epoch(run, number, epoch, train_step, rows, augment)
        line = {"stage": number, "train": stage.train, "epoch": epoch, "loss": loss, **_watched(data, stage_data)}
        run.checkpoint.save(number, epoch + 1, run.network.model, optimizer, line)
        run.report({"event": "epoch", "seconds": time.perf_counter() - started, **line})


def _train_epoch(
    run: FoldRun, number: int, epoch: int, train_step: Callable[..., Any], rows: Rows, augment: batches.Augment | None
) -> float:
    """One pass over the training rows; its mean loss, or `TrainingError` where that is no longer a number."""
    settings = run.spec.settings
    stage = settings.stages[number]
    steps = batches.steps_per_epoch(len(rows.rows), settings.batch_size)
    seed = batches.epoch_seed(settings.seed, run.spec.fold, number, epoch)
    losses = []
    prepared = batches.prefetched(batches.epoch_batches(rows, settings.batch_size, seed, augment))
    for step, (inputs, labels) in enumerate(prepared):
        rate = learning_rate(stage, epoch * steps + step, stage.epochs * steps)
        losses.append(train_step(inputs, labels, np.float32(rate)))
        run.report({"event": "step", "stage": number, "epoch": epoch, "step": step + 1, "steps": steps})
    loss = float(np.mean([value.numpy() for value in losses]))
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss of run `{run.spec.run}` fold {run.spec.fold} became {loss} in epoch {epoch + 1}",
            f"a smaller lr than {stage.lr} in stage {number + 1}",
        )
    return loss


def _watched(data: FoldData, stage_data: StageData) -> dict[str, float]:
    """Accuracy and log loss on the held-out rows, for the learning curve alone."""
    logits = stage_data.watch().astype(np.float64)
    y = data.labels[data.valid_rows]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_proba = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return {
        "valid_accuracy": float((logits.argmax(axis=1) == y).mean()),
        "valid_nll": float(-log_proba[np.arange(len(y)), y].mean()),
    }


def compile_step(model: Any, optimizer: Any, weights: npt.NDArray[np.float32]) -> Callable[..., Any]:
    """One compiled optimiser step: ``(inputs, soft labels, learning rate) -> loss``.

    A row's weight is its soft label times the class weights, which is right for mixed labels, where
    ``fit(class_weight=...)`` would take the larger half alone.
    """
    import tensorflow as tf

    variables = model.trainable_variables
    signature = [
        tf.TensorSpec(model.input_shape, tf.float32),
        tf.TensorSpec(model.output_shape, tf.float32),
        tf.TensorSpec((), tf.float32),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def step(inputs: Any, labels: Any, rate: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            per_row = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(per_row * tf.linalg.matvec(labels, tf.constant(weights)))
            total = loss + sum(model.losses) if model.losses else loss
        gradients = tape.gradient(total, variables)
        optimizer.learning_rate.assign(rate)
        optimizer.apply(gradients, variables)
        return loss

    return step  # type: ignore[no-any-return]
