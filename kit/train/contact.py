"""``kit augment``: what a run's augmentation makes of the user's own images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.augment.pipeline import Pipeline
from kit.config import Config
from kit.data import Index, load_images, load_index
from kit.errors import ConfigError
from kit.files import write_atomic
from kit.layout import Layout
from kit.plots import to_png
from kit.records import Emit, Event, IntArray
from kit.runs import check_run
from kit.train.batches import epoch_seed, row_seeds, soft_labels

BATCH = 16


def augment_sheet(layout: Layout, config: Config, run: str, emit: Emit, *, rows: int = 6, copies: int = 7) -> Path:
    """Draw ``rows`` images of different classes, each with ``copies`` augmented ones as an epoch would see them.

    Raises
    ------
    ConfigError
        Where there is no such run.
    StageError
        Where the data are missing.
    """
    if run not in config.runs:
        raise ConfigError(f"no run {run!r} in {layout.config.name}", f"known: {', '.join(config.runs)}")
    settings, index = config.runs[run], load_index(layout)
    check_run(run, settings, index)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it says about graphics cards helps nobody here
    chosen = varied_rows(index.labels, max(BATCH, rows), settings.seed)
    images = np.asarray(load_images(layout)[chosen], np.float32)
    labels = soft_labels(index.labels[chosen], len(index.classes), settings.label_smoothing)
    pipeline = Pipeline(settings.augment, index.shape[0], len(index.classes))
    seen = [pipeline(images, labels, row_seeds(epoch_seed(settings.seed, 0, 0, e), chosen)) for e in range(copies)]
    pictures = [(images, labels), *((np.asarray(image), np.asarray(label)) for image, label in seen)]
    path = write_atomic(layout.augment_picture(run), _draw(pictures, index, rows, run))
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
    order = [c for c in np.argsort(-label) if label[c] > 0.1]
    if len(order) == 1:
        return str(classes[order[0]])
    return "\n".join(f"{classes[c]} {label[c]:.2f}" for c in order)


def _draw(pictures: list[tuple[Any, Any]], index: Index, rows: int, run: str) -> bytes:
    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, len(pictures), squeeze=False)
        for row in range(rows):
            for column, (images, labels) in enumerate(pictures):
                axes = grid[row][column]
                axes.imshow(np.clip(images[row], 0, 255).astype(np.uint8))
                axes.set_xlabel(caption(labels[row], index.classes), fontsize=7)
                axes.set_xticks([])
                axes.set_yticks([])
        grid[0][0].set_title("as it is", fontsize=9)
        figure.suptitle(f"{run}: augmented training images, epochs 1 to {len(pictures) - 1}", fontsize=11)

    return to_png(draw, 1.5 * len(pictures), 1.85 * rows + 0.4)
