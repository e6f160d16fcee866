"""Training and external images as one set."""

from __future__ import annotations

import numpy as np

from kit.base.arrays import ImageArray
from kit.errors import DataError
from kit.images.sources.raw import RawSet
from kit.store.files import sha256_json


def joined(train: RawSet, external: RawSet) -> RawSet:
    """Both sets as one, the external rows last and their ids under ``external/``.

    Raises `DataError` where their images have different sizes.
    """
    if external.shape != train.shape:
        sizes = "external images are {} x {}, training images {} x {}".format(*external.shape, *train.shape)
        raise DataError(sizes, f"[data] image_size = {min(train.shape)}")
    n = len(train.ids)

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        parts = [(train, start, min(stop, n), 0), (external, max(start - n, 0), stop - n, n)]
        blocks: list[ImageArray] = []
        problems: dict[int, str] = {}
        for source, first, last, offset in parts:
            if first < last:
                images, found = source.read(first, last)
                blocks.append(images)
                problems |= {row + offset: reason for row, reason in found.items()}
        return np.concatenate(blocks), problems

    both = (train, external)
    grouped, weighted = any(one.groups for one in both), any(one.weights is not None for one in both)
    return RawSet(
        ids=(*train.ids, *(f"external/{name}" for name in external.ids)),
        labels=np.concatenate([train.labels, external.labels]),
        classes=train.classes,
        shape=train.shape,
        read=read,
        fingerprint=sha256_json([train.fingerprint, external.fingerprint, external.labels.tolist()]),
        groups=tuple(name for one in both for name in one.groups or [""] * len(one.ids)) if grouped else (),
        weights=np.concatenate([np.ones(len(one.ids)) if one.weights is None else one.weights for one in both])
        if weighted
        else None,
    )
