"""``kit augment``: what a run's augmentation makes of the user's own images."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import ConfigError
from kit.images.augment.pipeline import Pipeline
from kit.runs.spec import check_run, sheet_key
from kit.show.plots import to_png
from kit.stages.train.batches import epoch_seed, row_seeds, soft_labels
from kit.store.data import load_images, load_index
from kit.store.files import write_atomic
from kit.store.layout import Layout

BATCH = 16


def augment_sheet(layout: Layout, config: Config, run: str, emit: Emit, *, rows: int = 6, copies: int = 7) -> Path:
    """Draw ``rows`` images of different classes, each with ``copies`` augmented ones as an epoch would see them.

    Raises `ConfigError` where there is no such run, `StageError` where the data are missing.
    """
    if run not in config.runs:
        raise ConfigError(f"no run {run!r} in {layout.config.name}", f"known: {', '.join(config.runs)}")
    settings, index = config.runs[run], load_index(layout)
    check_run(run, settings, index)
    chosen = varied_rows(index.labels, max(BATCH, rows), settings.seed)
    images = np.asarray(load_images(layout)[chosen], np.float32)
    labels = soft_labels(index.labels[chosen], len(index.classes), settings.label_smoothing)
    with _without_greeting():
        pipeline = Pipeline(settings.augment, index.shape[0], len(index.classes))
        seen = [pipeline(images, labels, row_seeds(epoch_seed(settings.seed, 0, 0, e), chosen)) for e in range(copies)]
    pictures = [(images, labels), *((np.asarray(image), np.asarray(label)) for image, label in seen)]
    mixed = any("\n" in caption(label, index.classes) for _, labels in pictures for label in labels[:rows])

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, len(pictures), squeeze=False)
        for column, picture in enumerate(pictures):
            grid[0][column].set_title(f"epoch {column}" if column else "as it is", fontsize=11)
            for row in range(rows):
                _tile(grid[row][column], row, picture, pictures[0], index.classes)
        figure.suptitle(f"{run}: training images as augmentation shows them", fontsize=13)

    picture = to_png(draw, 1.5 * len(pictures), (1.6 + 0.2 * mixed) * rows + 0.7, made_from=sheet_key(settings, index))
    path = write_atomic(layout.augment_picture(run), picture)
    emit(Event("wrote", "", {"paths": [path]}))
    return path


@contextmanager
def _without_greeting() -> Iterator[None]:
    """TensorFlow speaks of graphics cards when it starts, before it reads its settings; that goes nowhere."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


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


def _tile(axes: Any, row: int, picture: tuple[Any, Any], first: tuple[Any, Any], classes: tuple[str, ...]) -> None:
    """One image; its classes stand below the first of a row, and below others where they differ."""
    images, labels = picture
    axes.imshow(np.clip(images[row], 0, 255).astype(np.uint8))
    words, before = caption(labels[row], classes), caption(first[1][row], classes)
    if picture is first or words != before:
        axes.set_xlabel(words, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
