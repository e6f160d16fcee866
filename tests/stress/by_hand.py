"""Projects whose runs are trained by hand, and a network without TensorFlow: mean colours against a fixed kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kit.corrupt.plan import Plan
from kit.data import load_images, load_index
from kit.files import read_json, sha256_file, write_json
from kit.partition import held_out, load_folds
from kit.project import Project
from kit.records import Emit, Predictions
from kit.runs import FoldSpec, join_folds, plan_runs
from kit.stress.fold import stress_fold
from kit.units import Unit, workers

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


def predict_with(fold: int, images: Any, views: tuple[str, ...]) -> Any:
    """Logits (V, N, 2): how red against how blue a picture is, a little otherwise in every fold and view."""
    pooled = np.asarray(images, np.float64).mean(axis=(1, 2)) / 255
    logits = np.stack([pooled @ [6.0 + fold, 0, -6], pooled @ [-6.0, 0, 6]], axis=1)
    return np.stack([logits * (1 + 0.1 * view) for view in range(len(views))]).astype(np.float32)


class Stand:
    """A `kit.units.Launch` that stresses here with `predict_with`; counts, and dies before unit ``die_at``."""

    queues = False

    def __init__(self, die_at: int = -1) -> None:
        self.done: list[str] = []
        self._die_at = die_at

    def __call__(self, unit: Unit, emit: Emit) -> None:
        if len(self.done) == self._die_at:
            raise KeyboardInterrupt
        description = read_json(unit.description)
        spec = FoldSpec.from_json(description["fold"])
        plan = Plan.from_json(description["plan"])
        stress_fold(spec, plan, lambda images, views: predict_with(spec.fold, images, views), lambda line: None)
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
        views, parts = specs[0].settings.views, []
        for spec in specs:
            rows = np.flatnonzero(held_out(folds.table, spec.fold))
            ids = np.array(index.ids)[rows]
            parts.append(Predictions(ids, index.classes, views, predict_with(spec.fold, images[rows], views)))
            parts[-1].save(spec.paths.valid)
            np.savez(spec.paths.weights, kernel=np.ones(1))
        paths = specs[0].run_paths
        join_folds(parts, folds.n, index.ids).save(paths.oof)
        write_json(paths.manifest, {"n_folds": folds.n, "oof": sha256_file(paths.oof)})
    return project
