"""How evenly the folds share the classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.stages.report.inputs import Facts
from kit.stages.report.parts import Cell, Row
from kit.stages.report.section import Section, count, percent
from kit.store.partition import FoldsRecord

MOST = 60


def balance(facts: Facts) -> Section:
    """A table of images by class and fold, tinted by the distance from an even share."""
    record = facts.read(FoldsRecord, facts.layout.folds_manifest(facts.config.folds.name))
    if record is None:
        return Section(run="kit folds")
    table = np.array(record.balance, np.float64).T  # classes, folds
    even = table.mean(axis=1, keepdims=True)
    away = (table - even) / np.maximum(even, 1e-9)
    order = np.argsort(-table.sum(axis=1), kind="stable")[:MOST]
    rows = [Row(record.classes[c], list(map(_cell, table[c], away[c])), int(table[c].sum())) for c in order.tolist()]
    folds, size = table.shape[1], int(table.sum())
    groups = len(set(facts.index.groups)) if facts.index else 0
    together = f" {size:,} images in {groups:,} groups: what belongs together is never in two folds." if groups else ""
    return Section(
        _title(record.classes, table, away),
        f"{count(folds, 'fold')}, seed {record.seed}.{together}",
        {"rows": rows, "total": Row("all", [Cell(f"{n:.0f}") for n in table.sum(axis=0)], size)},
    )


def _cell(images: float, away: float) -> Cell:
    return Cell(str(int(images)), "more" if away > 0 else "less", min(round(abs(float(away)) * 200), 60))


def _title(classes: tuple[str, ...], table: Any, away: Any) -> str:
    if table.shape[1] < 2:
        return "One part of the images is held out"
    images = np.abs(table - table.mean(axis=1, keepdims=True))
    if images.max() <= 1:
        return "Every fold holds the same share of every class, to within one image"
    c, fold = np.unravel_index(int(np.abs(away).argmax()), away.shape)
    more = "more" if away[c, fold] > 0 else "fewer"
    return f"Fold {fold} has {percent(abs(float(away[c, fold])))} {more} images of {classes[int(c)]} than an even share"
