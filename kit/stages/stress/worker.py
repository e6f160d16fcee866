"""The process of one fold under stress: ``python -m kit.stages.stress.worker stress STRESS-SPEC.json``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import TrainingError
from kit.images.corrupt.plan import StressPlan, apply, grid, grid_ids, sampled
from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec
from kit.runs.stressed import StressedFold
from kit.runs.units.networks import fold_predictor
from kit.runs.units.worker import BATCH, Predict, Report, Reporter, memory_errors, run
from kit.store.data import load_images, load_index
from kit.store.partition import held_out, read_table, table_digest
from kit.store.predictions import Predictions
from kit.store.record import Digests, digests_of

BLOCK, BLOCK_BYTES = 512, 1 << 27  # images that are corrupted at a time, in whole batches: bounds the memory


def stress_fold(spec: FoldSpec, plan: StressPlan, made_from: Digests, predict: Predict, report: Report) -> None:
    """Predict the held-out pictures under the mixture and a sample under every corruption; ``stress.json`` last.

    The mixture is predicted under all views of the run, the sample under the first.

    Raises `TrainingError` where images or folds are no longer those that were planned with.
    """
    index = load_index(spec.layout)
    table = read_table(spec.layout.folds_table(spec.folds), index.ids)
    if (index.parts["images"], table_digest(index.ids, table)) != (made_from["images"], made_from["folds"]):
        what = f"the data or the folds have changed since the stress test of {spec.run} fold {spec.fold} was planned"
        raise TrainingError(what, f"kit stress {spec.run}")
    rows = np.flatnonzero(held_out(table, spec.fold))
    ids = [index.ids[row] for row in rows.tolist()]
    # Of all rows that are ever held out, so that the folds of a run share one sample.
    chosen = set(sampled(plan, [name for name, fold in zip(index.ids, table[0], strict=True) if fold >= 0]))
    tried = [row for row in rows.tolist() if index.ids[row] in chosen]
    images, views = load_images(spec.layout), spec.settings.views
    total = len(rows) + len(tried) * len(plan.families) * len(plan.severities)
    mixed, done = [], 0
    block = int(np.clip(BLOCK_BYTES // np.prod(images.shape[1:]) // BATCH * BATCH, BATCH, BLOCK))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        pictures = apply(plan, images[rows[part]], ids[part], plan.seed)
        mixed.append(predict(pictures, np.arange(len(pictures)), views))
        done += len(pictures)
        report({"event": "pictures", "done": done, "total": total})
    names = [index.ids[row] for row in tried]
    single = [np.zeros((1, 0, spec.classes), np.float32)]
    for pictures in grid(plan, images[tried], names) if tried else ():
        single.append(predict(pictures, np.arange(len(pictures)), views[:1]))
        done += len(pictures)
        report({"event": "pictures", "done": done, "total": total})
    paths, cells = spec.paths, np.array(grid_ids(plan, names), np.str_)

    def save(path: Path, ids: Any, seen: tuple[str, ...], blocks: Sequence[Any]) -> None:
        Predictions(ids, spec.class_numbers, seen, np.concatenate(blocks, axis=1), spec.several).save(path)

    save(paths.stress_grid, cells, views[:1], single)
    save(paths.stress, np.array(ids), views, mixed)
    files = digests_of(paths.root, paths.stress, paths.stress_grid)
    StressedFold(made_from=made_from, files=files).save(paths.stress_record)


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code."""
    report = Reporter()
    return run(lambda: stress_unit(Path(path), report), report)


def stress_unit(path: Path, report: Report) -> None:
    """Do what the description at ``path`` says."""
    told = PredictionSpec.load(path)
    assert told.plan is not None
    with memory_errors(told.fold):
        predict = fold_predictor(told.fold, told.made_from["weights"], report)
        stress_fold(told.fold, told.plan, told.made_from, predict, report)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
