"""One fold under stress: a description in, files out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from kit.corrupt.mixture import apply
from kit.corrupt.plan import Plan, grid, grid_ids, sampled
from kit.data import load_images, load_index
from kit.partition import held_out, read_table
from kit.records import ImageArray, Predictions
from kit.runs import FoldSpec

BLOCK = 512  # pictures that are hurt at a time; bounds the memory
Report = Callable[[dict[str, Any]], None]


class Predict(Protocol):
    """Logits (V, N, C) of images under views, by the fold's trained network."""

    def __call__(self, images: ImageArray, views: tuple[str, ...]) -> Any: ...


def stress_fold(spec: FoldSpec, plan: Plan, predict: Predict, report: Report) -> None:
    """Predict the held-out pictures under the mixture and a sample under every corruption; ``stress.npz`` last.

    The mixture is predicted under all views of the run, the sample under the first.
    """
    index = load_index(spec.layout)
    table = read_table(spec.layout.folds_table(spec.folds), index.ids)
    rows = np.flatnonzero(held_out(table, spec.fold))
    ids = [index.ids[row] for row in rows.tolist()]
    # Of all rows that are ever held out, so that the folds of a run share one sample.
    chosen = set(sampled(plan, [name for name, fold in zip(index.ids, table[0], strict=True) if fold >= 0]))
    tried = [row for row in rows.tolist() if index.ids[row] in chosen]
    images, views = load_images(spec.layout), spec.settings.views
    total = len(rows) + len(tried) * len(plan.families) * len(plan.severities)
    mixed, done = [], 0
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        mixed.append(predict(apply(plan.mixture, images[rows[part]], ids[part], plan.seed), views))
        done += len(mixed[-1][0])
        report({"event": "pictures", "done": done, "total": total})
    names = [index.ids[row] for row in tried]
    single = [np.zeros((1, 0, len(spec.classes)), np.float32)]
    for pictures in grid(plan, images[tried], names) if tried else ():
        single.append(predict(pictures, views[:1]))
        done += len(pictures)
        report({"event": "pictures", "done": done, "total": total})
    Predictions(np.array(grid_ids(plan, names), np.str_), spec.classes, views[:1], np.concatenate(single, axis=1)).save(
        spec.paths.stress_grid
    )
    Predictions(np.array(ids), spec.classes, views, np.concatenate(mixed, axis=1)).save(spec.paths.stress)
