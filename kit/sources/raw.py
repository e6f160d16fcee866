"""What every source gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kit.errors import DataError
from kit.records import FloatArray, ImageArray, IntArray

BLOCK = 512


@dataclass(frozen=True, eq=False)
class RawSet:
    """Images as the competition gives them, read in blocks.

    Attributes
    ----------
    ids : tuple of N str
        Unique; for arrays the zero-padded row number.
    labels : (N,) int64
        -1 = no label.
    classes : tuple of C str
    shape : (int, int)
        Height and width that every image is read as.
    read : callable
        ``read(start, stop)`` gives uint8 (stop - start, H, W, 3) and a dict of row to the reason why that image
        cannot be used (its pixels are then zero).
    fingerprint : str
        Hash of everything that is read; another fingerprint makes all later stages stale.
    groups : tuple of N str, optional
        The user's own grouping (patients): rows with one value share a fold; the empty value groups nothing.
    weights : (N,) float64, optional
        Weight of each row in the loss.
    sizes : (N, 2) int64, optional
        Height and width in the file, before anything was resized; (0, 0) where the header does not say.
    """

    ids: tuple[str, ...]
    labels: IntArray
    classes: tuple[str, ...]
    shape: tuple[int, int]
    read: Callable[[int, int], tuple[ImageArray, dict[int, str]]]
    fingerprint: str
    groups: tuple[str, ...] = ()
    weights: FloatArray | None = None
    sizes: IntArray | None = None

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, ImageArray, dict[int, str]]]:
        """First row, images and problems of consecutive blocks of ``size`` rows."""
        for start in range(0, len(self.ids), size):
            images, problems = self.read(start, min(start + size, len(self.ids)))
            yield start, images, problems

    def all_images(self) -> ImageArray:
        """Every image at once, for sets that fit in memory; raises `DataError` where one cannot be read."""
        parts = []
        for _, images, problems in self.blocks():
            for row, reason in problems.items():
                raise DataError(f"image {self.ids[row]!r} cannot be read: {reason}")
            parts.append(images)
        return np.concatenate(parts)


def row_ids(n: int) -> tuple[str, ...]:
    """Ids of rows of an array: their numbers, zero-padded so that they sort as numbers do."""
    width = len(str(max(n - 1, 0)))
    return tuple(f"{row:0{width}d}" for row in range(n))


def checked_weights(weights: FloatArray, what: str) -> FloatArray:
    """The weights; raises `DataError` unless all of them are finite and at least 0, and one of them more."""
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise DataError(f"{what}: the weight of row {int(bad[0]) + 1} is {weights[bad[0]]}; weights are 0 or more")
    if not weights.any():
        raise DataError(f"{what}: every weight is 0")
    return weights
