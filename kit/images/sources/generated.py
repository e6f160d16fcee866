"""The built-in competitions as sources: generated practice cells and scikit-learn's digits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import DataError
from kit.images.sources.raw import Competition, RawSet, row_ids
from kit.store.files import sha256_json

SIDE = 8  # of scikit-learn's digits, pixels
TEST_ROWS = 297


def open_practice(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """The practice competition of ``[data.practice]``, graded for the task ordinal; `truth` is its corrupted test."""
    from kit.images.sources.practice import make

    options = data.practice.model_dump() | ({"graded": True} if data.task == "ordinal" else {})
    return _raw_set(make(**options), "practice", part, options)


def open_digits(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Scikit-learn's handwritten digits; the part `truth` is a held-out split."""
    size = data.image_size or 16
    return _raw_set(digits(size=size), "digits", part, {"size": size})


def digits(*, size: int = 32) -> Competition:
    """Load scikit-learn's digits (Alpaydin and Kaynak 1998, test part), grey as three equal channels.

    ``size`` is the side in pixels, which are repeated; `DataError` if it is no positive multiple of 8. The hidden test,
    the last 297 rows, is harder than a random one: three nearest neighbours get .960 of it right, instead of .99.
    """
    from sklearn.datasets import load_digits

    if size < SIDE or size % SIDE:
        raise DataError(f"digits: size = {size} is not a multiple of {SIDE}", "try 32")
    ink, labels = load_digits(return_X_y=True)  # from 0 to 16
    pixels = np.rint(ink * (255 / 16)).astype(np.uint8).reshape(-1, SIDE, SIDE, 1)
    images = pixels.repeat(size // SIDE, axis=1).repeat(size // SIDE, axis=2).repeat(3, axis=3)
    labels, classes = labels.astype(np.int64), tuple("0123456789")
    train, test = slice(0, -TEST_ROWS), slice(-TEST_ROWS, None)
    return Competition(images[train], labels[train], classes, images[test], labels[test])


def _raw_set(made: Competition, source: str, part: str, options: Mapping[str, int]) -> RawSet:
    images, labels = (made.images, made.labels) if part == "train" else (made.test_images, made.test_labels)
    return RawSet(
        ids=row_ids(len(images)),
        labels=np.full(len(images), -1, np.int64) if part in UNLABELLED else labels,
        classes=made.classes,
        shape=images.shape[1:3],
        read=lambda start, stop: (images[start:stop], {}),
        fingerprint=sha256_json({"source": source, "part": part, "version": 1, **options}),
    )
