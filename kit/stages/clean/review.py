"""What a person decides about the cleaning: look at sheets, bring images back, weigh proposed label errors."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.base.events import Emit, Event
from kit.base.text import unguarded
from kit.errors import DataError, StageError
from kit.images.sources import RawSet
from kit.runtime.names import match
from kit.show.figures.sheets import PER_LINE, Tile, png, sheet
from kit.stages.clean.labels import expected_errors, label_errors
from kit.store.candidate import Ensemble
from kit.store.data import load_images, load_index
from kit.store.files import read_csv, read_text, write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.ledger import latest
from kit.store.predictions import load_predictions
from kit.store.tables import LONGEST, read_table

ALL = "all"
# Rows that nobody can bring back, and why.
UNUSABLE = {"unreadable": "cannot be read", "unlabelled": "has no label"}


def override(layout: Layout, actions: Mapping[str, str], emit: Emit) -> None:
    """Add a person's word to ``clean_overrides.csv``, which survives every later cleaning.

    ``actions`` maps an id to `keep` or `drop`; a later word on the same id replaces the earlier one.
    """
    table = {name: action for name, (action, _) in read_overrides(layout.overrides).items()} | dict(actions)
    write_csv(layout.overrides, ("id", "action"), sorted(table.items()), for_people=True)
    emit(Event("say", f"{len(actions)} ids written to {layout.overrides.name}"))


def read_overrides(path: Path) -> dict[str, tuple[str, str]]:
    """The action that ``clean_overrides.csv`` has for each id, and where it stands; of two, the last.

    Raises `DataError` where somebody saved the file as something else than a table.
    """
    if not path.exists() or not read_text(path).strip():
        return {}
    table = read_table(path, empty=True)
    ids, actions = ([unguarded(cell) for cell in table.column(name)] for name in ("id", "action"))
    return {name: (action, table.line(row)) for row, (name, action) in enumerate(zip(ids, actions, strict=True))}


def restore(layout: Layout, ids: Sequence[str], emit: Emit) -> None:
    """Mark dropped images to be kept at the next cleaning: ``ids``, reasons (all dropped for one), or `all`.

    Raises `DataError` where an entry is neither a dropped id nor a reason, or names an image that cannot be read or has
    no label.
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
    index.classes_only("label errors")
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
        raise StageError(f"{newest.root.name} was made from different rows: {error.message}", "kit ensemble") from error
    ids, classes, expected = index.ids, index.classes, expected_errors(proba, index.labels)
    proposals = label_errors(proba, index.labels, n=2 * max(expected, 1))
    rows = (
        (rank, ids[row], classes[given], classes[proposed], f"{proba[row, given]:.4f}", f"{proba[row, proposed]:.4f}")
        for rank, (row, given, proposed, _) in enumerate(map(astuple, proposals), start=1)
    )
    write_csv(layout.proposals, ("rank", "id", "label", "proposed", "p_label", "p_proposed"), rows, for_people=True)
    images = load_images(layout)
    tiles = [
        Tile(np.asarray(images[one.row]), f"{ids[one.row]}\nis {classes[one.given]}\nmay be {classes[one.proposed]}")
        for one in proposals[: 8 * PER_LINE]
    ]
    lines = [tiles[start : start + PER_LINE] for start in range(0, len(tiles), PER_LINE)]
    write_atomic(layout.proposals_sheet, png(sheet(lines, "Labels that may be wrong, the likeliest first")))
    text = f"about {expected} labels may be wrong; the {len(proposals)} most likely ones are listed, none is changed"
    emit(Event("say", text))
    emit(Event("wrote", "", {"paths": [layout.proposals, layout.proposals_sheet]}))


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
