"""``kit augment``: what a run's augmentation makes of the user's own images."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.events import Emit, Event
from kit.base.process import without_greeting
from kit.config import Config
from kit.images.augment.pipeline import Pipeline
from kit.runs.batches import epoch_seed, row_seeds, soft_labels
from kit.runs.checks import check_run
from kit.runs.spec import sheet_key
from kit.show.figures.sheets import Tile, png, sheet
from kit.store.data import load_images, load_index
from kit.store.files import write_atomic
from kit.store.layout import Layout

BATCH = 16
ROWS, EPOCHS = 6, 7  # of the sheet: images of different classes, and how each is shown by epochs


def augment_sheet(layout: Layout, config: Config, run: str, emit: Emit) -> Path:
    """Draw `ROWS` images of different classes, each as it is and as `EPOCHS` would see it.

    Raises `ConfigError` where there is no such run, `StageError` where the data are missing.
    """
    settings, index = config.run(run), load_index(layout)
    check_run(run, settings, index)
    chosen = varied_rows(index.labels, BATCH, settings.seed)
    images = np.asarray(load_images(layout)[chosen], np.float32)
    masses, outcomes = index.task.masses(index.truth[chosen], index.classes), index.task.outcomes(len(index.classes))
    labels = soft_labels(masses, outcomes, settings.label_smoothing)
    with without_greeting():
        pipeline = Pipeline(settings.augment, index.shape[0], index.task.width(len(index.classes)))
        seen = [pipeline(images, labels, row_seeds(epoch_seed(settings.seed, 0, 0, e), chosen)) for e in range(EPOCHS)]
    pictures = [(images, labels), *((np.asarray(image), np.asarray(label)) for image, label in seen)]
    tiles: list[list[Tile]] = [[] for _ in range(ROWS)]
    for epoch, (found, mixed) in enumerate(pictures):
        for row in range(ROWS):
            words, before = caption(mixed[row], index.classes), caption(labels[row], index.classes)
            said = f"epoch {epoch}" if epoch else "original"
            # The classes stand below the first image of a row, and below others where they differ.
            said += f"\n{words}" if not epoch or words != before else ""
            tiles[row].append(Tile(np.clip(found[row], 0, 255).astype(np.uint8), said))
    title = f"{run}: training images after augmentation"
    path = write_atomic(layout.augment_picture(run), png(sheet(tiles, title), made_from=sheet_key(settings, index)))
    emit(Event("wrote", "", {"paths": [path]}))
    return path


def varied_rows(labels: IntArray, n: int, seed: int) -> IntArray:
    """``n`` rows drawn class by class in turn, so that the first ones are all of different classes."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        mine = labels[shuffled] == label
        turn[mine] = np.arange(mine.sum())
    return shuffled[np.argsort(turn, kind="stable")][:n]


def caption(label: npt.NDArray[Any], classes: tuple[str, ...]) -> str:
    """The classes of a soft label with more than a tenth of it, largest first."""
    order = [c for c in np.argsort(-label[: len(classes)]) if label[c] > 0.1]
    if len(order) == 1:
        return str(classes[order[0]])
    return "\n".join(f"{classes[c]} {label[c]:.2f}" for c in order)
