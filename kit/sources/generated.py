"""The built-in competitions as sources: generated practice cells and scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kit.config import DataConfig
from kit.files import sha256_json
from kit.records import ImageArray, IntArray
from kit.sources.raw import RawSet, row_ids


def open_practice(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """The practice competition of ``[data.practice]``; the part `truth` is its hidden, corrupted test."""
    from kit.sources.practice import make

    options = data.practice
    made = make(n=options.n, size=options.size, seed=options.seed)
    hidden = part != "train"
    return _raw_set(
        made.test_images if hidden else made.images,
        made.test_labels if hidden else made.labels,
        made.classes,
        part,
        sha256_json({"source": "practice", "part": part, "version": 1, **options.model_dump()}),
    )


def open_digits(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Scikit-learn's handwritten digits; the part `truth` is a held-out split."""
    from kit.sources.digits import load

    size = data.image_size or 16
    made = load(size=size)
    hidden = part != "train"
    return _raw_set(
        made.test_images if hidden else made.images,
        made.test_labels if hidden else made.labels,
        made.classes,
        part,
        sha256_json({"source": "digits", "part": part, "version": 1, "size": size}),
    )


def _raw_set(images: ImageArray, labels: IntArray, classes: tuple[str, ...], part: str, key: str) -> RawSet:
    return RawSet(
        ids=row_ids(len(images)),
        labels=np.full(len(images), -1, np.int64) if part == "test" else labels,
        classes=classes,
        shape=images.shape[1:3],
        read=lambda start, stop: (images[start:stop], {}),
        fingerprint=key,
    )
