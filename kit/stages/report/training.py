"""How evenly the folds share the classes, and the learning curves of every run and fold."""

from functools import partial
from typing import Any

import numpy as np

from kit.runs.results import histories
from kit.show.figures import heat
from kit.show.figures.curves import curves as drawn
from kit.show.figures.curves import learning_curves
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, listed, percent
from kit.store.partition import FoldsRecord


def balance(facts: Facts) -> Section | str:
    """The table of images by class and fold, tinted by the distance from an even share."""
    record = facts.read(FoldsRecord, facts.layout.folds_manifest(facts.config.folds.name))
    if record is None:
        return "kit folds"
    table = np.array(record.balance, np.float64).T  # classes, folds
    folds, size = table.shape[1], int(table.sum())
    groups = len(set(facts.index.groups)) if facts.index else 0
    together = f" {size:,} images in {groups:,} groups; no group is split across folds." if groups else ""
    return Section(
        _named_fold(record.classes, table),
        f"{count(folds, 'fold')}, seed {record.seed}.{together}",
        heat.balance(record.classes, record.balance),
    )


def _named_fold(classes: tuple[str, ...], table: Any) -> str:
    if table.shape[1] < 2:
        return "One part of the images is held out"
    even = table.mean(axis=1, keepdims=True)
    if np.abs(table - even).max() <= 1:
        return "Every fold holds the same share of every class, to within one image"
    away = (table - even) / np.maximum(even, 1e-9)
    c, fold = np.unravel_index(int(np.abs(away).argmax()), away.shape)
    more = "more" if away[c, fold] > 0 else "fewer"
    return f"Fold {fold} has {percent(abs(float(away[c, fold])))} {more} images of {classes[int(c)]} than an even share"


def curves(facts: Facts) -> Section | str:
    """Accuracy and log loss on held-out rows after every epoch, a line a fold."""
    runs, losses = [], {}
    for run in facts.runs:
        name, config = run.record.run, run.record.config
        about = f"{config.backbone}, {'from scratch' if config.weights == 'none' else config.weights}"
        folds = facts.attempt(partial(histories, run.paths, run.record))
        if folds:
            runs.append({"name": name, "note": about, "panels": learning_curves(name, folds, config)})
            losses[name] = [value for _, value in drawn(folds, "valid_nll").mean]
    if not runs:
        return "kit train"
    return Section(
        _advice(losses),
        "Measured on the held-out images of each fold. Thin lines are folds, the thick one their mean; the dashed one "
        "is the loss on training images, which augmentation makes harder. Dots mark the epochs whose weights were "
        "kept.",
        runs,
    )


def _advice(losses: dict[str, list[float]]) -> str:
    lowest = [(name, mean, int(np.argmin(mean))) for name, mean in losses.items() if len(mean) > 2]
    rising = [name for name, mean, at in lowest if at < len(mean) - 2 and mean[-1] > 1.05 * mean[at]]
    if rising:
        return f"Use fewer epochs or stronger augmentation: held-out loss rises again in {listed(rising)}"
    falling = [name for name, mean, at in lowest if at == len(mean) - 1 and mean[-1] < 0.97 * mean[-2]]
    if falling:
        return f"More epochs may help: the loss was still falling in the last epoch of {listed(falling)}"
    return "Training had converged when it ended"
