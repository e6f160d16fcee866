"""Small grey pictures, their low frequencies, and both after a flip or a turn."""

from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt.colour import LUMA
from kit.runtime import decode

SIDE = 32
LOW = 8
BLOCK = 512

Scalar = TypeVar("Scalar", bound=np.generic)

FORMS = (
    "as it is", "mirrored", "upside down", "turned by 180 degrees",
    "transposed", "turned by 90 degrees", "turned by 270 degrees", "mirrored and transposed",
)  # fmt: skip
"""The eight symmetries of a square; number ``4 t + 2 v + h`` transposes (t), then flips rows (v) and columns (h)."""


def dihedral(pictures: NDArray[Scalar], form: int) -> NDArray[Scalar]:
    """Apply symmetry ``form`` of ``FORMS`` to the last two axes, as a view where NumPy can."""
    turned = pictures.swapaxes(-1, -2) if form & 4 else pictures
    turned = turned[..., ::-1, :] if form & 2 else turned
    return turned[..., ::-1] if form & 1 else turned


def whole(images: ImageArray) -> IntArray:
    """The frames (N, 4) of ``images`` (N, H, W, 3) without padding: top, left, height and width of what they show."""
    return np.tile(np.array([0, 0, *images.shape[1:3]], np.int64), (len(images), 1))


def fitted(sizes: IntArray, side: int) -> IntArray:
    """The frames (N, 4) of pictures of ``sizes`` (N, 2), height and width, that ``resize = "fit"`` put on a black
    square of ``side`` pixels; the whole square where a size is 0, not known."""
    kinds, kind = np.unique(sizes, axis=0, return_inverse=True)
    sizes_of = ((int(high), int(wide)) for high, wide in kinds)
    frames = [decode.fitted(high, wide, side) if high * wide else (0, 0, side, side) for high, wide in sizes_of]
    return np.array(frames, np.int64).reshape(-1, 4)[kind.ravel()]


@lru_cache(4096)
def resizing(size: int, to: int) -> NDArray[np.float32]:
    """The (to, size) matrix of Pillow's antialiased Lanczos filter: a resize is two matrix products."""
    identity = Image.fromarray(np.eye(size, dtype=np.float32))
    return np.asarray(identity.resize((size, to), Image.Resampling.LANCZOS))


def grey(images: ImageArray, frames: IntArray, side: int = SIDE) -> NDArray[np.float32]:
    """Luma (ITU-R 601) of ``frames`` (N, 4) of images (N, H, W, 3) uint8 resized to a square: (N, side, side) float32
    in 0 to 255."""
    return _reduced(images, frames, np.eye(side, dtype=np.float32))


def low_frequencies(images: ImageArray, frames: IntArray, rows: IntArray) -> NDArray[np.float32]:
    """The 8 x 8 lowest coefficients of the type-II DCT of the 32 x 32 luma, (len(rows), 8, 8) float32.

    ``images`` is read in blocks; resize and transform are one (8, H) matrix from either side.
    """
    basis = dct(np.eye(SIDE), axis=0)[:LOW].astype(np.float32)
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    found = [_reduced(images[block], frames[block], basis) for block in blocks]
    return np.concatenate(found) if found else np.zeros((0, LOW, LOW), np.float32)


def _reduced(images: ImageArray, frames: IntArray, basis: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients (N, K, K) in ``basis`` (K, side) along both axes of the luma in each frame, resized to ``side``."""
    down, across = (_sampling(basis, frames[:, axis::2], images.shape[1 + axis]) for axis in (0, 1))
    return np.asarray(down @ (images @ LUMA) @ across.swapaxes(1, 2))


def _sampling(basis: NDArray[np.float32], spans: IntArray, size: int) -> NDArray[np.float32]:
    """For each span (N, 2) of an axis of ``size`` pixels, start and length, the (K, size) matrix that resizes and
    transforms it; one for all where all are equal."""
    kinds, kind = np.unique(spans, axis=0, return_inverse=True)
    matrices = np.zeros((len(kinds), len(basis), size), np.float32)
    for matrix, (start, length) in zip(matrices, kinds.tolist(), strict=True):
        matrix[:, start : start + length] = basis @ resizing(length, basis.shape[1])
    return matrices if len(kinds) == 1 else matrices[kind.ravel()]


def turned(low: NDArray[np.float32], form: int) -> NDArray[np.float32]:
    """The coefficients of a picture after a symmetry, from those before it.

    A flip of the picture changes the sign of the odd coefficients along its axis, a transposition transposes them;
    so one transform serves all eight forms.
    """
    signs = np.where(np.arange(LOW) % 2, np.float32(-1), np.float32(1))
    coefficients = low.swapaxes(-1, -2) if form & 4 else low
    coefficients = coefficients * signs[:, None] if form & 2 else coefficients
    return coefficients * signs if form & 1 else coefficients
