"""Colour and texture of every picture in a few numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt.colour import LUMA

BLOCK_PIXELS = 1 << 18

Column = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Statistics:
    """One number per picture, each (K,) float32; brightness is luma from 0 to 255."""

    darkest: Column  # 5th percentile of the brightness
    middle: Column  # 50th
    brightest: Column  # 99th
    entropy: Column  # of the brightness' histogram, 0 to 8 bits
    sharpness: Column  # variance of the four-neighbour Laplacian of the brightness inside the picture
    chroma: Column  # mean over the pixels of the largest less the smallest channel; 0 is grey
    colour: NDArray[np.float32]  # (K, 6): mean and standard deviation of red, green and blue
    contrast: Column  # mean brightness of the middle quarter of the picture less that of the whole

    def features(self) -> NDArray[np.float32]:
        """All of them as the columns of a matrix, (K, 13); the sharpness as its logarithm."""
        columns = [self.darkest, self.middle, self.brightest, self.entropy, np.log1p(self.sharpness)]
        return np.column_stack([*columns, self.chroma, self.colour, self.contrast]).astype(np.float32)


def statistics(images: ImageArray, rows: IntArray) -> Statistics:
    """Measure ``rows`` of ``images`` (N, H, W, 3) uint8, read in blocks that fit a processor's cache."""
    size = max(1, BLOCK_PIXELS // int(np.prod(images.shape[1:3])))
    parts = [_block(images[rows[start : start + size]]) for start in range(0, len(rows), size)]
    parts = parts or [_block(np.zeros((0, 1, 1, 3), np.uint8))]
    return Statistics(*(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)))


def _block(images: ImageArray) -> tuple[NDArray[np.floating], ...]:
    count, height, width = images.shape[:3]
    planes = images.reshape(count, height * width, 3).transpose(0, 2, 1).astype(np.float32, order="C")
    brightness = (LUMA @ planes).reshape(count, height, width)
    levels = np.rint(brightness).astype(np.int32) + 256 * np.arange(count, dtype=np.int32)[:, None, None]
    histogram = np.bincount(levels.ravel(), minlength=256 * count).reshape(count, 256)
    reached = np.cumsum(histogram, axis=1)
    percentiles = [(reached >= share * height * width).argmax(axis=1) for share in (0.05, 0.50, 0.99)]
    shares = histogram / (height * width)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    chroma = (planes.max(axis=1) - planes.min(axis=1)).mean(axis=1)
    colour = np.concatenate([planes.mean(axis=2), planes.std(axis=2)], axis=1)
    middle = brightness[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    contrast = middle.mean(axis=(1, 2)) - brightness.mean(axis=(1, 2))
    sharpness = np.zeros(count, np.float32)  # where a picture has no inside
    if min(height, width) >= 3:
        across = brightness[:, 1:-1, :-2] + brightness[:, 1:-1, 2:]
        down = brightness[:, :-2, 1:-1] + brightness[:, 2:, 1:-1]
        sharpness = (across + down - 4 * brightness[:, 1:-1, 1:-1]).var(axis=(1, 2))
    return (*percentiles, entropy, sharpness, chroma, colour, contrast)
