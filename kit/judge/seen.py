"""What a metric is given of a task: its truth, or rows of one class each that stand for it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.tasks import Array, Flat, Task
from kit.config.competition import METRICS
from kit.judge import decide
from kit.store.data import Index

WATCHED = {"multilabel": "auc", "shares": "kl", "numbers": "rmse"}  # by kind, what is told of a network; else accuracy
OF_SHARES = {("shares", name) for name in ("nll", "kl", "brier")}  # also of one class, and so not of this task alone


class Seen(NamedTuple):
    """The truth ``y`` and the ``groups`` of rows as a metric takes them; of images unless ``flat`` says which.

    ``values`` are the numbers that classes stand for, where the metric is one of numbers.
    """

    metric: str
    y: Array
    groups: Any
    flat: Flat | None = None
    values: Array | None = None

    def of(self, proba: Array) -> Array:
        """Probabilities (..., N, C) of the images as the metric takes them, or the means (..., N) of numbers."""
        if self.values is not None:
            return np.asarray(proba @ self.values)
        return proba if self.flat is None else self.flat.spread(proba)

    def said(self, proba: Array, answers: Array) -> Array:
        """The same of a blend, which has decided ``answers``."""
        return self.of(proba) if self.flat is not None else decide.said(self.metric, proba, answers)


def seen(metric: str, task: Task, truth: Array, classes: Sequence[str], groups: Any = None) -> Seen:
    """What ``metric`` is given of N images; a metric that is not made for the task judges its `Task.flat` rows.

    So the accuracy of votes is that of single votes; rows of a group count once.
    """
    if task.kind == "classes" or task.kind in METRICS[metric].tasks or (task.kind, metric) in OF_SHARES:
        return Seen(metric, truth, groups, values=np.array(classes, float) if task.kind == "numbers" else None)
    flat = task.flat(truth, classes)
    every = np.arange(len(truth)) if groups is None else np.asarray(groups)
    return Seen(metric, flat.y, every[flat.row], flat)


def seen_of(metric: str, index: Index, ids: Sequence[str] | npt.NDArray[np.str_]) -> Seen:
    """`seen` of rows of the data."""
    groups = np.array(index.groups)[index.rows_of(ids)]
    return seen(metric, index.task, index.truth_of(ids), index.classes, groups)
