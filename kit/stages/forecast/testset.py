"""Is the test like the training set? Four questions, answered in one sentence each that says what to do."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from kit.base.arrays import ImageArray
from kit.base.events import Emit, Event
from kit.judge.metrics import row_accuracy
from kit.judge.shift.outputs import Prior, detect, estimate
from kit.judge.shift.pictures import FOLDS, NAMES, Adversarial, adversarial, image_statistics, twins
from kit.runs.results import unless_damaged
from kit.show.figures import likeness as figures
from kit.show.figures import standalone
from kit.show.figures.sheets import Tile, png, sheet
from kit.stages.forecast.entries import Entry, Gathered
from kit.store.data import Index, load_images, load_index, unlabelled_ids, unlabelled_images, unlabelled_record
from kit.store.files import read_csv, write_atomic
from kit.store.layout import Layout
from kit.store.record import Digests, Made

VERSION = 3  # 2: the outputs of one network are compared; 3: the error of the AUC is that of its influence
LEVEL = 0.01  # of a test, below which its answer is "they differ"
CLEAR = 0.6  # area under the curve below which a difference, however sure, is small
PAIRS = 2_000_000_000  # of a test and a training image, which take a minute
COMPARED = 6000  # training pictures that the statistics are computed of
SHOWN = 24


class ShiftReport(Made):
    """``data/shift/shift.json``: how the test images differ from the training images, in numbers and sentences."""

    OLDER: ClassVar[tuple[int | None, ...]] = (None,)
    COMMAND: ClassVar[str] = "kit forecast"

    sentences: tuple[str, ...]
    auc: float
    auc_error: float
    telling: tuple[tuple[str, float], ...]
    outputs_pvalue: float | None
    prior: tuple[float, ...] | None
    prior_pvalue: float | None
    copies: tuple[tuple[str, str, float], ...]
    unlike: tuple[str, ...]


def look_at_test(layout: Layout, gathered: Gathered, seed: int, emit: Emit) -> list[str]:
    """Compare test and training images, write ``data/shift/`` unless it is there, and return the sentences.

    Empty where the competition gives no test images or too few to compare.
    """
    test = unlabelled_images(layout, "test")
    if test is None or len(test) < FOLDS:
        return []
    index, entry = load_index(layout), _most_able(gathered)
    made_from = lineage(layout, gathered, seed)
    names = ("likeness", *(["priors"] if entry and gathered.task.kind == "classes" else []))
    pictures = [layout.unlike_sheet, *map(layout.shift_picture, names)]
    report = unless_damaged(lambda: ShiftReport.fresh(layout.shift_report, made_from), emit)
    if report is None or not all(path.exists() for path in pictures):
        report = _write(layout, index, test, entry, seed, made_from)
        emit(Event("wrote", "", {"paths": [layout.shift_report, *pictures]}))
    return list(report.sentences)


def lineage(layout: Layout, gathered: Gathered, seed: int) -> Digests:
    """What the comparison is made from."""
    parts, entry, record = load_index(layout).parts, _most_able(gathered), unlabelled_record(layout, "test")
    return {
        "shift": str(VERSION),
        **{name: parts[name] for name in ("images", "labels", "classes")},
        "test": record.images if record is not None else "",
        "seed": str(seed),
        "entry": "" if entry is None else gathered.made_from[f"{entry.kind} {entry.name}"],
    }


def _most_able(gathered: Gathered) -> Entry | None:
    """The run with the best clean accuracy among those that predicted the test."""
    able, task = [one for one in gathered.entries if one.kind == "run" and one.test is not None], gathered.task
    y = gathered.y if task.several else task.strata(gathered.y, gathered.classes)
    return max(able, key=lambda entry: float(row_accuracy(y, entry.clean).mean()), default=None)


def _write(
    layout: Layout, index: Index, test: ImageArray, entry: Entry | None, seed: int, made_from: Digests
) -> ShiftReport:
    """Ask all four questions, draw the pictures, and write what was found."""
    images = load_images(layout)
    rows = np.sort(np.random.default_rng(seed).permutation(len(index.ids))[:COMPARED])
    ours, theirs = (image_statistics(*asked).astype(float) for asked in ((images, rows), (test,)))
    told = adversarial(ours, theirs, seed, NAMES)
    sentences = [_about_images(told)]
    counts = np.bincount(index.labels, minlength=len(index.classes)) + 1e-9
    shares, outputs, prior = counts / counts.sum(), None, None
    if entry is not None and entry.held is not None and entry.folds is not None:
        # Of one network: another one, and the mean of all, are more or less sure of the same rows.
        outputs = detect(entry.held, entry.folds[0])
        sentences.append(_about_outputs(outputs))
    if entry is not None and entry.test is not None and index.task.kind == "classes":
        prior = estimate(entry.test, shares)
        sentences.append(_about_prior(prior, shares.tolist(), index.classes))
        picture = standalone(figures.class_priors(index.classes, shares.tolist(), prior.prior))
        write_atomic(layout.shift_picture("priors"), picture)
    copies = _copies(layout, index, images, test, seed)
    names, likeness = unlabelled_ids(layout, "test"), np.nan_to_num(told.test_likeness, nan=-1.0)
    order = np.argsort(-likeness, kind="stable")[:SHOWN]
    pictures = dict(zip(np.sort(order).tolist(), test[np.sort(order)], strict=True))  # as a memory map likes to be read
    tiles = [[Tile(pictures[row], f"{names[row]}\n{likeness[row]:.2f}") for row in order.tolist()]]
    write_atomic(layout.unlike_sheet, png(sheet(tiles, "test images least like the training set, with probabilities")))
    write_atomic(layout.shift_picture("likeness"), standalone(*figures.likeness(told)))
    report = ShiftReport(
        made_from=made_from,
        sentences=(*sentences, _about_copies(copies, PAIRS // len(index.ids), len(test))),
        auc=told.auc,
        auc_error=told.error,
        telling=told.telling,
        outputs_pvalue=outputs,
        prior=prior.prior if prior else None,
        prior_pvalue=prior.pvalue if prior else None,
        copies=copies,
        unlike=tuple(names[row] for row in order.tolist()),
    )
    report.save(layout.shift_report)
    return report


def _copies(
    layout: Layout, index: Index, images: ImageArray, test: ImageArray, seed: int
) -> tuple[tuple[str, str, float], ...]:
    """(test id, training id, correlation): identical pixels by their hash first, then those that look alike.

    Of sets with more than `PAIRS` pairs, a sample of the test is compared by its looks.
    """
    lines = read_csv(layout.index_of("test"))
    known = {row["sha256"]: row["id"] for row in read_csv(layout.index)}
    same = {line["id"]: (known[line["sha256"]], 1.0) for line in lines if line["sha256"] in known}
    ours, theirs = np.arange(len(index.ids)), np.random.default_rng(seed).permutation(len(test))
    for row, other, likeness in twins(images, test, ours, np.sort(theirs[: PAIRS // len(ours)])):
        same.setdefault(lines[row]["id"], (index.ids[other], likeness))
    return tuple((name, *pair) for name, pair in same.items())


def _about_copies(copies: Sequence[tuple[str, str, float]], compared: int, n: int) -> str:
    part = f" (by their looks {compared:,} of {n:,} were compared)" if compared < n else ""
    if not copies:
        return f"copies: no test image is a training image{part}: nothing to do"
    many = f"copies: {len(copies)} test images are training images too ({copies[0][0]} = {copies[0][1]}){part}: "
    return many + "their score says nothing of new images"


def _about_images(found: Adversarial) -> str:
    measured = f"AUC {found.auc:.3f} +- {found.error:.3f}"
    if found.pvalue > LEVEL or found.auc < CLEAR:
        return f"images: the test can hardly be told from the training set ({measured}): trust the clean score"
    names = ", ".join(f"{name} ({'more' if auc > 0.5 else 'less'})" for name, auc in found.telling[:3])
    return (
        f"images: the test is not like the training set ({measured}); what tells: {names}: "
        "augment towards it and judge by the stressed score"
    )


def _about_outputs(pvalue: float) -> str:
    if pvalue > LEVEL:
        return f"outputs: alike on test and held-out rows (p = {pvalue:.2g}): the shift, if any, costs little"
    return (
        f"outputs: they differ between test and held-out rows (p = {pvalue:.2g}): "
        "expect another score than the clean one and look at data/shift/unlike.png"
    )


def _about_prior(found: Prior, train: Sequence[float], classes: Sequence[str]) -> str:
    if found.pvalue > LEVEL:
        return f"classes: in the shares of the training set (p = {found.pvalue:.2g}): leave the blend as it is"
    moved = max(range(len(train)), key=lambda c: abs(found.prior[c] - train[c]))
    return (
        f"classes: seem to come in other shares (p = {found.pvalue:.2g}), most of all {classes[moved]}, "
        f"{train[moved]:.0%} -> {found.prior[moved]:.0%}: believe it only where images and outputs are alike"
    )
