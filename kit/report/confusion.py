"""Which classes are taken for which, the images behind it, and the table of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.blend.tables import ClassRow, per_class
from kit.metrics import confusion as count_confusion
from kit.report.facts import Evidence, Facts
from kit.report.parts import Cell, Group, Row, Tile
from kit.report.pictures import thumbnail
from kit.report.section import Section, count, percent

CLASSES = 20
PAIRS, SHOWN = 5, 8
TABLE = 60


@dataclass(frozen=True)
class Matrix:
    """A row, and a column, for each class shown, and the pairs that are confused most."""

    rows: list[Row]
    pairs: list[Group]


def confusion(facts: Facts) -> Section:
    """The confusion matrix out of fold and the images of the pairs that are confused most."""
    evidence = facts.evidence
    if evidence is None:
        return Section("confusion", "Confusion", run="kit ensemble")
    table = count_confusion(evidence.y, evidence.proba)
    shown = _worst_classes(table)
    pairs = _pairs(table)
    wrong = int(table.sum() - np.trace(table))
    cut = f" Of {len(table)} classes the {len(shown)} with most errors are shown." if len(shown) < len(table) else ""
    return Section(
        "confusion",
        "Confusion",
        _title(evidence, table, pairs),
        f"{count(wrong, 'error')} in {int(table.sum()):,} images out of fold. A row is a true class, a cell the share "
        f"of its images that were given the column's name.{cut}",
        Matrix(
            [_row(evidence, table, c, shown) for c in shown], [_pair(facts, evidence, table, *pair) for pair in pairs]
        ),
    )


def _worst_classes(table: Any) -> list[int]:
    """All classes, or of many those with most errors, in their own order."""
    if len(table) <= CLASSES:
        return list(range(len(table)))
    errors = table.sum(axis=0) + table.sum(axis=1) - 2 * np.diag(table)
    return sorted(np.argsort(-errors, kind="stable")[:CLASSES].tolist())


def _pairs(table: Any) -> list[tuple[int, int]]:
    """True and given class of the most frequent confusions."""
    wrong = table - np.diag(np.diag(table))
    flat = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(place), len(table)) for place in flat]
    return [(true, given) for true, given in places if wrong[true, given] > 0]


def _title(evidence: Evidence, table: Any, pairs: list[tuple[int, int]]) -> str:
    if not pairs:
        return "No image is given a wrong class out of fold"
    true, given = pairs[0]
    share = table[true, given] / table[true].sum()
    return f"{percent(share)} of {evidence.classes[true]} are called {evidence.classes[given]}"


def _row(evidence: Evidence, table: Any, c: int, shown: list[int]) -> Row:
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


def _pair(facts: Facts, evidence: Evidence, table: Any, true: int, given: int) -> Group:
    """Images of ``true`` that were called ``given``, the surest first."""
    share = percent(table[true, given] / table[true].sum())
    found = np.flatnonzero((evidence.y == true) & (evidence.named == given))
    surest = found[np.argsort(-evidence.proba[found, given], kind="stable")][:SHOWN]
    title = f"{evidence.classes[true]} called {evidence.classes[given]}"
    tiles = [_tile(facts, evidence, int(place)) for place in surest]
    return Group(title, tiles, f"{int(table[true, given])} of {int(table[true].sum())}, {share}")


def _tile(facts: Facts, evidence: Evidence, place: int) -> Tile:
    row, true, given = int(evidence.rows[place]), int(evidence.y[place]), int(evidence.named[place])
    assert facts.index is not None
    name, sure = facts.index.ids[row], percent(float(evidence.proba[place, given]))
    said = f"Image {name}, {evidence.classes[true]}, called {evidence.classes[given]} with {sure}"
    return Tile(thumbnail(facts.images[row]), name, f"{sure} sure", said)


@dataclass(frozen=True)
class Measures:
    """Rows of the classes shown, the mean F1 of all, and how many images there are."""

    rows: list[ClassRow]
    macro: float
    all: int


def classes(facts: Facts) -> Section:
    """Precision, recall, F1 and support of every class."""
    evidence = facts.evidence
    if evidence is None:
        return Section("classes", "Classes", run="kit ensemble")
    rows = per_class(evidence.y, evidence.proba, evidence.classes)
    ordered = sorted(rows, key=lambda row: row.f1)[:TABLE]
    worst, best = ordered[0], max(rows, key=lambda row: row.f1)
    ends = [f"{row.name}, F1 {row.f1:.2f}" for row in (worst, best)]
    cut = f" The {len(ordered)} weakest of {len(rows)} classes." if len(ordered) < len(rows) else ""
    return Section(
        "classes",
        "Classes",
        f"Weakest class: {ends[0]}; strongest: {ends[1]}",
        "Precision: of the images given a name, the share that bears it rightly. Recall: of the images of a class, the "
        f"share that was found. Weakest first.{cut}",
        Measures(ordered, float(np.mean([row.f1 for row in rows])), len(evidence.y)),
    )
