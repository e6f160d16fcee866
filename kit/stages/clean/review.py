"""What a person decides about the cleaning: look at sheets, bring images back, weigh label errors found out of fold."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.base.events import Emit, Event
from kit.base.text import unguarded
from kit.errors import DataError, StageError
from kit.images.sources import RawSet
from kit.runtime.names import match
from kit.show.figures.sheets import PER_LINE, Tile, png, sheet
from kit.stages.clean.draft import Finding, components
from kit.stages.clean.plan import Plan
from kit.store.candidate import Ensemble
from kit.store.data import Index, load_images, load_index
from kit.store.files import read_csv, read_text, write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.ledger import latest
from kit.store.predictions import load_predictions
from kit.store.tables import LONGEST, read_table

MOST = 30


def contact_sheets(images: ImageArray, labels: IntArray, result: Plan, names: Sequence[str]) -> dict[str, Image.Image]:
    """Draw what a plan found, a sheet a reason in alphabetical order, pictures that belong together on one line.

    ``names`` are the rows'. A line shows at most eight pictures, a sheet at most `MOST` lines.
    """
    kept = set(result.keep.tolist())

    def tile(row: int, detail: str) -> Tile:
        fate = "" if row in kept else ", dropped"
        return Tile(images[row], f"{names[row]}\nclass {labels[row]}{fate}\n{detail}")

    by_reason = defaultdict[str, list[Finding]](list)
    for finding in (*result.dropped, *result.noted):
        by_reason[finding.reason].append(finding)
    sheets = {}
    for reason, findings in sorted(by_reason.items()):
        details = {finding.row: finding.detail for finding in findings}
        # Joined by their twins, largest sets first; those without any are cut into lines.
        pairs = [(finding.row, finding.twin) for finding in findings if finding.twin >= 0]
        rows, flat = np.unique(np.array(pairs, np.int64).reshape(-1), return_inverse=True)
        number = components(flat.reshape(-1, 2), len(rows))
        sets = [rows[number == place].tolist() for place in range(number.max(initial=-1) + 1)]
        sets.sort(key=len, reverse=True)
        alone = [finding.row for finding in findings if finding.twin < 0]
        sets += [alone[start : start + PER_LINE] for start in range(0, len(alone), PER_LINE)]
        lines = [[tile(row, details.get(row, "")) for row in rows[:PER_LINE]] for rows in sets[:MOST]]
        shown, total = sum(map(len, lines)), sum(map(len, sets))
        some = f" ({shown} of {total} pictures shown)" if shown < total else ""
        sheets[reason] = sheet(lines, f"{reason}: {len(findings)}{some}")
    return sheets


@dataclass(frozen=True, slots=True)
class Proposal:
    """A label that a person should look at."""

    row: int  # of `proba`
    given: int  # the label it has
    proposed: int  # the class that the predictions favour
    score: float  # probability of the given label less its average over the rows labeled so: the lowest is the worst


def label_errors(proba: NDArray[np.floating], y: IntArray, n: int | None = None) -> tuple[Proposal, ...]:
    """Propose ``n`` labels to look at, the likeliest errors first; by default as many as `expected_errors` says.

    ``proba`` (N, C) are calibrated and out of fold; labels ``y`` are 0 to C - 1. Confident learning (Northcutt, Jiang
    and Chuang 2021): the number from the confident joint, the order by the probability of the given label against what
    its class has on average. Raises `DataError` if the arrays do not fit, or a probability is not finite.
    """
    if proba.ndim != 2 or y.shape != (len(proba),) or proba.shape[1] < 2:
        raise DataError(f"probabilities of shape {proba.shape} and labels of shape {y.shape} do not match")
    if not np.isfinite(proba).all():
        raise DataError(f"probabilities of row {int(np.argwhere(~np.isfinite(proba))[0, 0])} are not finite")
    if len(y) and (y.min() < 0 or y.max() >= proba.shape[1]):
        raise DataError(f"labels from {y.min()} to {y.max()}, but {proba.shape[1]} classes")
    own = proba[np.arange(len(y)), y] - _thresholds(proba, y)[y]
    others = proba.astype(np.float64)
    others[np.arange(len(y)), y] = -np.inf
    proposed = others.argmax(axis=1)
    order = np.argsort(own, kind="stable")[: expected_errors(proba, y) if n is None else n]
    return tuple(Proposal(int(row), int(y[row]), int(proposed[row]), float(own[row])) for row in order)


def expected_errors(proba: NDArray[np.floating], y: IntArray) -> int:
    """Estimate how many of the labels are wrong: the off-diagonal of the calibrated confident joint."""
    joint = confident_joint(proba, y)
    # Rounded twice: sums in another order of the rows differ in the last bit, and x.5 must not tip over by it.
    return round(round(float(joint.sum() - np.trace(joint)), 6))


def confident_joint(proba: NDArray[np.floating], y: IntArray) -> NDArray[np.float64]:
    """Estimate how many rows bear label i and are of class j, (C, C) float64.

    A row counts for the likeliest of the classes it reaches the average confidence of; the counts of each label
    are then scaled to how often it was given.
    """
    # An average of equal numbers may exceed them by rounding.
    confident = np.where(proba >= _thresholds(proba, y) - 1e-6, proba, -1)
    sure = np.flatnonzero(confident.max(axis=1) >= 0)
    classes = proba.shape[1]
    counts = np.zeros((classes, classes))
    np.add.at(counts, (y[sure], confident[sure].argmax(axis=1)), 1)
    given = np.bincount(y, minlength=classes).astype(float)
    empty = counts.sum(axis=1) == 0
    counts[empty, empty] = given[empty]
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * given[:, None])


def _thresholds(proba: NDArray[np.floating], y: IntArray) -> NDArray[np.float64]:
    """Average probability of each class among the rows labeled so; 1 for a class nobody has."""
    own = proba[np.arange(len(y)), y]
    counts = np.bincount(y, minlength=proba.shape[1])
    sums = np.bincount(y, own, minlength=proba.shape[1])
    return np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)


ALL = "all"
# Rows that nobody can bring back, and why.
UNUSABLE = {"unreadable": "cannot be read", "unlabelled": "has no label"}


def override(layout: Layout, actions: Mapping[str, str], emit: Emit) -> None:
    """Add a person's word to ``clean_overrides.csv``: by id `keep` or `drop`, which replaces an earlier one."""
    table = {name: action for name, (action, _) in read_overrides(layout.overrides).items()} | dict(actions)
    write_csv(layout.overrides, ("id", "action"), sorted(table.items()), for_people=True)
    emit(Event("say", f"{len(actions)} ids written to {layout.overrides.name}"))


def read_overrides(path: Path) -> dict[str, tuple[str, str]]:
    """By id the last action in ``clean_overrides.csv``, and where it stands; `DataError` where the file is no table."""
    if not path.exists() or not read_text(path).strip():
        return {}
    table = read_table(path, empty=True)
    ids, actions = ([unguarded(cell) for cell in table.column(name)] for name in ("id", "action"))
    return {name: (action, table.line(row)) for row, (name, action) in enumerate(zip(ids, actions, strict=True))}


def restore(layout: Layout, ids: Sequence[str], emit: Emit) -> None:
    """Mark dropped images to be kept at the next cleaning: ``ids``, reasons (all dropped for one), or `all`.

    Raises `DataError` where an entry is neither a dropped id nor a reason, or names an image that is `UNUSABLE`.
    """
    lines = read_csv(layout.dropped, for_people=True)
    dropped = {line["id"]: line["reason"] for line in lines}
    chosen: set[str] = set()
    for entry in ids:
        found = {name for name, reason in dropped.items() if entry in (name, reason, ALL)}
        if not found:
            reasons = ", ".join(sorted(set(dropped.values()))) or "none"
            raise DataError(f"{entry!r} is neither a dropped id nor a reason", f"reasons: {reasons}")
        chosen |= found
    lost = {name: UNUSABLE[dropped[name]] for name in sorted(chosen) if dropped[name] in UNUSABLE}
    for name, why in lost.items():
        if name in ids:
            raise DataError(f"image {name!r} {why}, so it cannot be restored")
    back = chosen - set(lost)
    # The twin that stayed is pinned too: of two equal images the one that nobody asked for would go in its place.
    twins = {line["twin"] for line in lines if line["id"] in back and line["twin"]}
    override(layout, dict.fromkeys(sorted(back | twins), "keep"), emit)


def propose_labels(layout: Layout, emit: Emit) -> None:
    """Write ``data/label_proposals.csv`` and a sheet from the newest blend's out-of-fold probabilities; apply nothing.

    Raises `StageError` where there is no blend of the current rows yet.
    """
    index = load_index(layout)
    if not index.task.several and index.task.kind != "classes":
        said = f"images with one class or several labels are supported, but the task is {index.task.name}"
        raise StageError(f"label errors: {said}", "kit clean   # lists copies with other labels")
    newest = latest(layout)
    if newest is None:
        raise StageError("label errors are estimated from out-of-fold predictions, but there are none", "kit ensemble")
    record = Ensemble.load(newest.ensemble)
    record.check(newest.root, "", newest.predictions.name)
    if record.classes != index.classes:
        raise StageError(f"{newest.root.name} was made from different classes", "kit ensemble --all")
    if record.other(labels=index.parts["labels"]):  # still out of fold: what is left after some were corrected
        emit(Event("warn", f"{newest.root.name} was made before the labels changed: kit ensemble --all"))
    try:
        proba = load_predictions(newest.predictions).take(index.ids).first
    except DataError as error:
        why, hint = f"{newest.root.name} was made from different rows", "kit ensemble"
        if not record.other(labels=index.parts["labels"]):
            why, hint = "not every row is held out", '[folds] method = "k-fold"'
        raise StageError(f"{why}: {error.message}", hint) from error
    ids, (expected, proposals) = index.ids, _likeliest(index, proba)
    rows = []
    for rank, (one, said, names) in enumerate(proposals, start=1):
        labels = (one.given, one.proposed)
        chances = (f"{said[one.row, label]:.4f}" for label in labels)
        rows.append((rank, ids[one.row], *(names[label] for label in labels), *chances))
    write_csv(layout.proposals, ("rank", "id", "label", "proposed", "p_label", "p_proposed"), rows, for_people=True)
    images = load_images(layout)
    tiles = [
        Tile(np.asarray(images[one.row]), f"{ids[one.row]}\nis {names[one.given]}\nmay be {names[one.proposed]}")
        for one, _, names in proposals[: 8 * PER_LINE]
    ]
    lines = [tiles[start : start + PER_LINE] for start in range(0, len(tiles), PER_LINE)]
    write_atomic(layout.proposals_sheet, png(sheet(lines, "Labels that may be wrong, the likeliest first")))
    text = f"about {expected} labels may be wrong; the {len(proposals)} most likely ones are listed, none is changed"
    emit(Event("say", text))
    emit(Event("wrote", "", {"paths": [layout.proposals, layout.proposals_sheet]}))


def _likeliest(index: Index, proba: NDArray[np.floating]) -> tuple[int, list[tuple[Proposal, Any, tuple[str, ...]]]]:
    """How many labels may be wrong, and the likeliest ones with probabilities (N, C) and names of what they may be.

    Each of several labels is a question of its own.
    """
    questions = [(index.labels, proba, index.classes)]
    if index.task.several:
        both, every = np.stack([1 - proba, proba], axis=2), enumerate(index.classes)
        questions = [(index.truth[:, c], both[:, c], (f"not {name}", name)) for c, name in every]
    expected = sum(expected_errors(said, y) for y, said, _ in questions)
    most = 2 * max(expected, 1)
    found = [(one, said, names) for y, said, names in questions for one in label_errors(said, y, n=most)]
    return expected, sorted(found, key=lambda each: each[0].score)[:most]


def overrides_by_row(path: Path, raw: RawSet, rows: IntArray) -> dict[int, str]:
    """A person's word on images, by row of the readable ones; one on an unreadable image has no effect."""
    told = read_overrides(path)
    row_of = {name: row for row, name in enumerate(raw.ids)}
    others = [name for name in told if name not in row_of]
    row_of |= zip(others, match(raw.ids, others), strict=True)  # a spreadsheet has made 7 of 007
    place_of = {row: place for place, row in enumerate(rows.tolist())}
    result: dict[int, str] = {}
    for name, (action, where) in told.items():
        row = row_of[name]
        if row < 0 or action not in ("keep", "drop"):
            said = f"{name[:LONGEST]!r} is no image" if row < 0 else f"{action[:LONGEST]!r} is no action"
            raise DataError(f"{where}: {said}", "each line is id,keep or id,drop")
        if row in place_of and result.setdefault(place_of[row], action) != action:
            raise DataError(f"{where}: {name[:LONGEST]!r} is an image with another action in an earlier line")
    return result
