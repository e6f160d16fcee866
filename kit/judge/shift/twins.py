"""The same picture in the training set and in the test, pixel for pixel or turned, re-compressed or made brighter."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kit.images.corrupt.colour import LUMA
from kit.judge.shift.statistics import BLOCK, Images

Array = NDArray[np.float32]

SIDE = 12  # of the small grey picture that is compared
ALIKE = 0.985  # correlation of two small pictures that are looked at again
SAME = 0.97  # correlation of the whole pictures


def twins(train: Images, test: Images) -> list[tuple[int, int, float]]:
    """(test row, training row, correlation) of pairs that show one picture, the nearest training row of each test row.

    Small grey pictures are correlated under the eight flips and turns, candidates again at full size. A pair of flat
    pictures has no correlation and is not found; identical pixels are known by their hash anyway.
    """
    if not len(train) or not len(test):
        return []
    small, found = _small(train), []
    for start in range(0, len(test), BLOCK):
        block = np.asarray(test[start : start + BLOCK])
        likeness = np.full((len(block), len(small)), -1, np.float32)  # the largest over flips and turns
        for turned in _dihedral(block):
            np.maximum(likeness, _small(turned) @ small.T, out=likeness)
        for row in np.flatnonzero(likeness.max(axis=1) >= ALIKE):
            other = int(likeness[row].argmax())
            one = _standard((train[other].astype(np.float32) @ LUMA)[None])[0]
            whole = (_standard(turned.astype(np.float32) @ LUMA)[0] for turned in _dihedral(test[start + row][None]))
            correlation = max(float(one @ other_way) for other_way in whole)
            if correlation >= SAME:
                found.append((start + int(row), other, correlation))
    return found


def _dihedral(images: Images) -> Iterator[Images]:
    """The pictures under flips and turns, quarter turns only where they are square."""
    quarters = (0, 1, 2, 3) if images.shape[1] == images.shape[2] else (0, 2)
    for quarter in quarters:
        turned = np.rot90(images, quarter, axes=(1, 2))
        yield turned
        yield turned[:, :, ::-1]


def _small(images: Images) -> Array:
    """(N, SIDE * SIDE) float32, mean 0 and length 1; zeros of a flat picture."""
    blocks = []
    for start in range(0, len(images), BLOCK):
        grey = np.asarray(images[start : start + BLOCK]).astype(np.float32) @ LUMA
        down, across = (np.linspace(0, size, min(SIDE, size) + 1).astype(int)[:-1] for size in grey.shape[1:])
        shrunk = np.add.reduceat(np.add.reduceat(grey, down, axis=1), across, axis=2)
        blocks.append(_standard(np.asarray(shrunk, np.float32)))
    return np.concatenate(blocks)


def _standard(values: Array) -> Array:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0), np.float32)
