"""The built-in competitions as sources: generated practice cells and scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kit.config import DataConfig
from kit.images.sources.raw import Competition, RawSet, row_ids
from kit.store.files import sha256_json


def open_practice(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """The practice competition of ``[data.practice]``; the part `truth` is its hidden, corrupted test."""
    from kit.images.sources.practice import make

    options = data.practice
    return _raw_set(make(n=options.n, size=options.size, seed=options.seed), "practice", part, options.model_dump())


def open_digits(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Scikit-learn's handwritten digits; the part `truth` is a held-out split."""
    from kit.images.sources.digits import load

    size = data.image_size or 16
    return _raw_set(load(size=size), "digits", part, {"size": size})


def _raw_set(made: Competition, source: str, part: str, options: Mapping[str, int]) -> RawSet:
    images, labels = (made.images, made.labels) if part == "train" else (made.test_images, made.test_labels)
    return RawSet(
        ids=row_ids(len(images)),
        labels=np.full(len(images), -1, np.int64) if part == "test" else labels,
        classes=made.classes,
        shape=images.shape[1:3],
        read=lambda start, stop: (images[start:stop], {}),
        fingerprint=sha256_json({"source": source, "part": part, "version": 1, **options}),
    )
