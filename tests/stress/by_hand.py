"""Projects whose runs are trained by hand, and a network without TensorFlow: mean colours against a fixed kernel."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from recorded import join_runs, write_fold

from kit.base.events import Emit
from kit.project import Project
from kit.runs.results import PredictionSpec
from kit.runs.spec import plan_runs
from kit.runs.units import Unit, workers
from kit.stages.stress.worker import stress_fold
from kit.stages.train.fold import predict_test
from kit.store.data import load_images, load_index
from kit.store.partition import held_out, load_folds

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 3
[stress]
rows = 20
families = ["brightness-up", "noise"]
[runs.a]
backbone = "plain-cnn"
views = ["identity", "flip-lr"]
"""


def predict_with(fold: int, images: Any, rows: Any, views: tuple[str, ...]) -> Any:
    """Logits (V, N, 2): how red against how blue a picture is, a little otherwise in every fold and view."""
    pooled = np.asarray(images[rows], np.float64).mean(axis=(1, 2)) / 255
    logits = np.stack([pooled @ [6.0 + fold, 0, -6], pooled @ [-6.0, 0, 6]], axis=1)
    return np.stack([logits * (1 + 0.1 * view) for view in range(len(views))]).astype(np.float32)


class Stand:
    """A `kit.runs.units.Launch` that predicts here with `predict_with`; counts, and dies before unit ``die_at``."""

    queues = False

    def __init__(self, die_at: int = -1) -> None:
        self.done: list[str] = []
        self._die_at = die_at

    def __call__(self, unit: Unit, emit: Emit) -> None:
        if len(self.done) == self._die_at:
            raise KeyboardInterrupt
        told = PredictionSpec.load(unit.description)
        spec = told.fold
        predict = partial(predict_with, spec.fold)
        if told.plan is None:
            predict_test(spec, told.made_from, predict)
        else:
            stress_fold(spec, told.plan, told.made_from, predict, lambda line: None)
        self.done.append(unit.name)

    def places(self, config: Any) -> int:
        return workers(config)

    def end(self) -> None:
        """Nothing runs on."""


def train_by_hand(folder: Path) -> Project:
    """Write what `kit train` would, with `predict_with` for a network."""
    project = Project(folder)
    project.folds()
    layout, config = project.layout, project.config
    index, images = load_index(layout), load_images(layout)
    folds = load_folds(layout, config, index)
    for specs in plan_runs(layout, config, ()).values():
        for spec in specs:
            rows = np.flatnonzero(held_out(folds.table, spec.fold))
            logits = predict_with(spec.fold, images, rows, spec.settings.views)
            write_fold(spec, np.array(index.ids)[rows], logits)
    join_runs(layout, config, launch=Stand())
    return project
