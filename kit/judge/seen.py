"""What a metric is given of a task: its truth, or rows of one class each that stand for it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.tasks import Array, Flat, Task
from kit.config.competition import METRICS
from kit.store.data import Index


class Seen(NamedTuple):
    """The truth ``y`` and the ``groups`` of rows as a metric takes them; of images unless ``flat`` says which."""

    y: Array
    groups: Any
    flat: Flat | None

    def of(self, proba: Array) -> Array:
        """Probabilities (..., N, C) of the images as the metric takes them."""
        return proba if self.flat is None else self.flat.spread(proba)


def seen(metric: str, task: Task, truth: Array, classes: Sequence[str], groups: Any = None) -> Seen:
    """What ``metric`` is given of N images; a metric that is not made for the task judges its `Task.flat` rows.

    So the accuracy and the log loss of several labels are those of single labels, and rows of a group count once.
    """
    if task.kind == "classes" or task.kind in METRICS[metric].tasks:
        return Seen(truth, groups, None)
    flat = task.flat(truth, classes)
    every = np.arange(len(truth)) if groups is None else np.asarray(groups)
    return Seen(flat.y, every[flat.row], flat)


def seen_of(metric: str, index: Index, ids: Sequence[str] | npt.NDArray[np.str_]) -> Seen:
    """`seen` of rows of the data."""
    groups = np.array(index.groups)[index.rows_of(ids)]
    return seen(metric, index.task, index.truth_of(ids), index.classes, groups)
