"""Which classes are taken for which, the images behind it, and the table of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.judge.blend.tables import per_class
from kit.judge.metrics import confusion as count_confusion
from kit.stages.report.inputs import Facts, OutOfFold
from kit.stages.report.parts import Cell, Group, Row, Tile
from kit.stages.report.section import Section, count, percent
from kit.stages.report.thumbnails import thumbnail

CLASSES = 20
PAIRS, SHOWN = 5, 8
TABLE = 60


def confusion(facts: Facts) -> Section:
    """The confusion matrix out of fold and the images of the pairs that are confused most."""
    evidence = facts.evidence
    if evidence is None:
        return Section(run="kit ensemble")
    table = count_confusion(evidence.y, evidence.proba)
    errors = table - np.diag(np.diag(table))
    # All classes, or of many those with most errors, in their own order.
    worst = np.argsort(-errors.sum(axis=0) - errors.sum(axis=1), kind="stable")
    shown = sorted(worst[:CLASSES].tolist())
    frequent = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(n, len(table)) for n in frequent.tolist() if errors.flat[n] > 0]
    title = "No image is given a wrong class out of fold"
    if pairs:
        true, given = pairs[0]
        share = percent(errors[true, given] / table[true].sum())
        title = f"{share} of {evidence.classes[true]} are called {evidence.classes[given]}"
    wrong = int(errors.sum())
    cut = f" Of {len(table)} classes the {len(shown)} with most errors are shown." if len(shown) < len(table) else ""
    return Section(
        title,
        f"{count(wrong, 'error')} in {int(table.sum()):,} images out of fold. A row is a true class, a cell the share "
        f"of its images that were given the column's name.{cut}",
        {
            "rows": [_row(evidence, table, c, shown) for c in shown],
            "pairs": [_pair(facts, evidence, *pair) for pair in pairs],
        },
    )


def _row(evidence: OutOfFold, table: Any, c: int, shown: list[int]) -> Row:
    total = max(float(table[c].sum()), 1.0)
    cells = []
    for other in shown:
        share = float(table[c, other]) / total
        kind = "right" if other == c else "wrong"
        # Errors are what a reader looks for: a tenth of a class must be seen beside a diagonal of nine tenths.
        tint = round(8 + 30 * share) if kind == "right" else round(min(75 * share**0.6, 55))
        text = "" if not table[c, other] else f"{100 * share:.0f}" if share >= 0.005 else "·"
        said = f"{int(table[c, other])} of {int(total)} {evidence.classes[c]} called {evidence.classes[other]}"
        cells.append(Cell(text, kind, tint if table[c, other] else 0, said))
    return Row(evidence.classes[c], cells, int(table[c].sum()))


def _pair(facts: Facts, evidence: OutOfFold, true: int, given: int) -> Group:
    """Images of ``true`` that were called ``given``, the surest first."""
    found = np.flatnonzero((evidence.y == true) & (evidence.proba.argmax(axis=1) == given))
    tiles = []
    for place in found[np.argsort(-evidence.proba[found, given], kind="stable")][:SHOWN]:
        name, sure = str(evidence.ids[place]), percent(float(evidence.proba[place, given]))
        said = f"Image {name}, {evidence.classes[true]}, called {evidence.classes[given]} with {sure}"
        tiles.append(Tile(thumbnail(facts.images[evidence.rows[place]]), name, f"{sure} sure", said))
    of = int((evidence.y == true).sum())
    title = f"{evidence.classes[true]} called {evidence.classes[given]}"
    return Group(title, tiles, f"{len(found)} of {of}, {percent(len(found) / of)}")


def classes(facts: Facts) -> Section:
    """Precision, recall, F1 and support of every class."""
    evidence = facts.evidence
    if evidence is None:
        return Section(run="kit ensemble")
    rows = per_class(evidence.y, evidence.proba, evidence.classes)
    ordered = sorted(rows, key=lambda row: row.f1)[:TABLE]
    worst, best = ordered[0], max(rows, key=lambda row: row.f1)
    ends = [f"{row.name}, F1 {row.f1:.2f}" for row in (worst, best)]
    cut = f" The {len(ordered)} weakest of {len(rows)} classes." if len(ordered) < len(rows) else ""
    return Section(
        f"Weakest class: {ends[0]}; strongest: {ends[1]}",
        "Precision: of the images given a name, the share that bears it rightly. Recall: of the images of a class, the "
        f"share that was found. Weakest first.{cut}",
        {"rows": ordered, "macro": float(np.mean([row.f1 for row in rows])), "all": len(evidence.y)},
    )
