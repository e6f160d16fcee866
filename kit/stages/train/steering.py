"""What is measured after every epoch, and what it steers: learning rates and early stopping as pure functions of it.

Nothing here keeps state: what an early-stopping or plateau callback would remember is read from the history, which
the checkpoint holds, so a continued run decides as an uninterrupted one.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.tasks import Array, Task
from kit.base.text import nearest
from kit.config import RunConfig, ScheduleConfig, StageConfig
from kit.errors import ConfigError, DataError
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import row_nll
from kit.judge.metrics.table import METRICS
from kit.judge.score import score
from kit.judge.seen import WATCHED, seen
from kit.runtime.pool import from_logits, softmax

Logits = npt.NDArray[np.floating]


def learning_rate(stage: StageConfig, step: int, steps: int, falls: int = 0) -> float:
    """The rate after ``step`` steps of a stage whose epochs have ``steps`` each.

    ``falls`` is how often `plateau` has lowered the rate, see `count_falls`.
    """
    schedule = stage.schedule
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return stage.lr * (step + 1) / warmup
    epochs = (step - warmup) / steps
    whole = max(stage.epochs - warmup / steps, 1 / steps)
    return stage.lr * SHAPES[schedule.kind](schedule, epochs, whole, falls)


def _cosine(schedule: ScheduleConfig, epochs: float, whole: float, falls: int) -> float:
    return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * min(epochs / whole, 1.0)))


def _restarts(schedule: ScheduleConfig, epochs: float, whole: float, falls: int) -> float:
    cycle = schedule.cycle
    while epochs >= cycle:
        epochs, cycle = epochs - cycle, cycle * schedule.growth
    return _cosine(schedule, epochs, cycle, falls)


# Share of the full rate after so many epochs of a stage of ``whole`` epochs. Cosine and its restarts: Loshchilov &
# Hutter 2017.
SHAPES: dict[str, Callable[[ScheduleConfig, float, float, int], float]] = {
    "constant": lambda schedule, epochs, whole, falls: 1.0,
    "cosine": _cosine,
    "restarts": _restarts,
    "exponential": lambda schedule, epochs, whole, falls: max(schedule.floor, float(schedule.decay**epochs)),
    "plateau": lambda schedule, epochs, whole, falls: max(schedule.floor, float(schedule.decay**falls)),
}


def count_falls(values: Sequence[float], greater_is_better: bool, patience: int) -> int:
    """How often a rate that falls after ``patience`` epochs without improvement has fallen; each fall waits anew."""
    best, waited, falls = math.inf, 0, 0
    for value in values:
        loss = -value if greater_is_better else value
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= patience:
            waited, falls = 0, falls + 1
    return falls


def calibrated_nll(logits: Logits, y: IntArray) -> float:
    """Log loss after the best temperature: what a network is worth to an ensemble that calibrates its members."""
    logits = logits.astype(np.float64)
    return float(row_nll(y, softmax(logits / fit_temperature(logits, y))).mean())


# Beside the metrics of the kit.
EXTRA: dict[str, Callable[[Logits, IntArray], float]] = {"calibrated_nll": calibrated_nll}


def check_metrics(settings: RunConfig) -> None:
    """Raise `ConfigError` where early stopping or a plateau watches what there is not."""
    for name in watched_metrics(settings):
        if name not in METRICS and name not in EXTRA:
            raise ConfigError(f"unknown metric {name!r}", nearest(name, [*METRICS, *EXTRA]))


def watched_metrics(settings: RunConfig, kind: str = "classes") -> list[str]:
    """What is told of a kind of task, log loss, and what early stopping and plateaus of the run choose by."""
    names = [WATCHED.get(kind, "accuracy"), "nll"]
    for stage in settings.stages:
        names += [stage.early_stopping.metric] if stage.early_stopping else []
        names += [stage.schedule.metric] if stage.schedule.kind == "plateau" else []
    return list(dict.fromkeys(names))


def measure(metrics: Sequence[str], logits: Logits, task: Task, truth: Array, names: Sequence[str]) -> dict[str, float]:
    """Each metric of logits (N, C) of images; one that a few images have no value of is left out."""
    proba, flat, found = from_logits(logits, task.several), task.flat(truth, names), {}
    for name in metrics:
        every = seen(name, task, truth, names) if name not in EXTRA else None
        with suppress(DataError):  # rows of one class alone have no AUC
            found[name] = score(name, every.y, every.of(proba)) if every else EXTRA[name](flat.logits(logits), flat.y)
    return found
