"""Learning rates and early stopping as pure functions of the position and of the values watched so far.

Nothing here keeps state: what an early-stopping or plateau callback would remember is read from the history, which
the checkpoint holds, so a continued run decides as an uninterrupted one.
"""

import math
from collections.abc import Callable, Sequence

from kit.config import ScheduleConfig, StageConfig


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
