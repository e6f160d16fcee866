"""How evenly the folds share the classes."""

from typing import Any

import numpy as np

from kit.show.figures import heat
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, percent
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
        _title(record.classes, table),
        f"{count(folds, 'fold')}, seed {record.seed}.{together}",
        heat.balance(record.classes, record.balance),
    )


def _title(classes: tuple[str, ...], table: Any) -> str:
    if table.shape[1] < 2:
        return "One part of the images is held out"
    even = table.mean(axis=1, keepdims=True)
    if np.abs(table - even).max() <= 1:
        return "Every fold holds the same share of every class, to within one image"
    away = (table - even) / np.maximum(even, 1e-9)
    c, fold = np.unravel_index(int(np.abs(away).argmax()), away.shape)
    more = "more" if away[c, fold] > 0 else "fewer"
    return f"Fold {fold} has {percent(abs(float(away[c, fold])))} {more} images of {classes[int(c)]} than an even share"
