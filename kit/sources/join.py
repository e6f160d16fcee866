"""Training and external images as one set."""

from __future__ import annotations

import numpy as np

from kit.errors import DataError
from kit.files import sha256_json
from kit.records import FloatArray, ImageArray
from kit.sources.raw import RawSet


def joined(train: RawSet, external: RawSet) -> RawSet:
    """Both sets as one, the external rows last and their ids under ``external/``.

    Raises
    ------
    DataError
        Where their images have different sizes.
    """
    if external.shape != train.shape:
        height, width = train.shape
        raise DataError(
            f"external images are {external.shape[0]} x {external.shape[1]}, training images {height} x {width}",
            f"[data] image_size = {min(height, width)}",
        )
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

    return RawSet(
        ids=(*train.ids, *(f"external/{name}" for name in external.ids)),
        labels=np.concatenate([train.labels, external.labels]),
        classes=train.classes,
        shape=train.shape,
        read=read,
        fingerprint=sha256_json([train.fingerprint, external.fingerprint, external.labels.tolist()]),
        groups=_joined_groups(train, external),
        weights=_joined_weights(train, external),
    )


def _joined_groups(train: RawSet, external: RawSet) -> tuple[str, ...]:
    if not (train.groups or external.groups):
        return ()
    return (*(train.groups or ("",) * len(train.ids)), *(external.groups or ("",) * len(external.ids)))


def _joined_weights(train: RawSet, external: RawSet) -> FloatArray | None:
    if train.weights is None and external.weights is None:
        return None
    parts = [np.ones(len(source.ids)) if source.weights is None else source.weights for source in (train, external)]
    return np.concatenate(parts)
