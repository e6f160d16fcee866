"""Which classes are taken for which, the images behind it, and the table of classes."""

import numpy as np

from kit.judge.blend.tables import per_class
from kit.judge.metrics import confusion as count_confusion
from kit.show.figures import heat
from kit.show.figures.heat import MOST_CLASSES
from kit.stages.report.inputs import Facts, OutOfFold
from kit.stages.report.section import Section, count, percent
from kit.stages.report.thumbnails import Group, Tile, thumbnail

PAIRS, SHOWN = 5, 8
TABLE = 60


def confusion(facts: Facts) -> Section | str:
    """The confusion matrix out of fold and the images of the pairs that are confused most."""
    evidence = facts.evidence
    if evidence is None or evidence.task.several:
        return "kit ensemble"
    table = count_confusion(evidence.y, evidence.answers, len(evidence.classes))
    errors = table - np.diag(np.diag(table))
    frequent = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(n, len(table)) for n in frequent.tolist() if errors.flat[n] > 0]
    title = "No image is misclassified out of fold"
    if pairs:
        true, given = pairs[0]
        share = percent(errors[true, given] / table[true].sum())
        title = f"{share} of {evidence.classes[true]} are classified as {evidence.classes[given]}"
    cut = f" Of {len(table)} classes the {MOST_CLASSES} with the most errors are shown."
    wrong = count(int(errors.sum()), "error")
    return Section(
        title,
        f"{wrong} in {int(table.sum()):,} images out of fold. A row is a true class, a cell the share of "
        f"its images that were predicted as the column's class.{cut if len(table) > MOST_CLASSES else ''}",
        {
            "picture": heat.confusion(table, evidence.classes, "blend"),
            "pairs": [_pair(facts, evidence, *pair) for pair in pairs],
        },
    )


def _pair(facts: Facts, evidence: OutOfFold, true: int, given: int) -> Group:
    """Images of ``true`` that were called ``given``, the surest first."""
    found = np.flatnonzero((evidence.y == true) & (evidence.answers == given))
    tiles = []
    for place in found[np.argsort(-evidence.proba[found, given], kind="stable")][:SHOWN]:
        name, sure = str(evidence.ids[place]), percent(float(evidence.proba[place, given]))
        said = f"Image {name}, {evidence.classes[true]}, predicted as {evidence.classes[given]} with {sure}"
        tiles.append(Tile(thumbnail(facts.images[evidence.rows[place]]), name, f"{sure} sure", said))
    of = int((evidence.y == true).sum())
    title = f"{evidence.classes[true]} predicted as {evidence.classes[given]}"
    return Group(title, tiles, f"{len(found)} of {of}, {percent(len(found) / of)}")


def classes(facts: Facts) -> Section | str:
    """Precision, recall, F1 and support of every class."""
    evidence = facts.evidence
    if evidence is None:
        return "kit ensemble"
    rows = per_class(evidence.task, evidence.truth, evidence.answers, evidence.classes)
    ordered = sorted(rows, key=lambda row: row.f1)[:TABLE]
    worst, best = ordered[0], max(rows, key=lambda row: row.f1)
    ends = [f"{row.name}, F1 {row.f1:.2f}" for row in (worst, best)]
    cut = f" Only the {len(ordered)} weakest of {len(rows)} classes." if len(ordered) < len(rows) else ""
    return Section(
        f"Weakest class: {ends[0]}; strongest: {ends[1]}",
        "Precision: of the images predicted as a class, the share that belongs to it. Recall: of the images of a "
        f"class, the share that was found. Weakest first.{cut}",
        {"rows": ordered, "macro": float(np.mean([row.f1 for row in rows])), "all": len(evidence.y)},
    )
