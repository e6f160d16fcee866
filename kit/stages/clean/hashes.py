"""Perceptual hashes of a picture and of its flips and turns."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt.colour import LUMA

SIDE = 32
LOW = 8
BLOCK = 512

Scalar = TypeVar("Scalar", bound=np.generic)

FORMS = (
    "as it is",
    "mirrored",
    "upside down",
    "turned by 180 degrees",
    "transposed",
    "turned by 90 degrees",
    "turned by 270 degrees",
    "mirrored and transposed",
)
"""The eight symmetries of a square; number ``4 t + 2 v + h`` transposes (t), then flips rows (v) and columns (h)."""


def dihedral(pictures: NDArray[Scalar], form: int) -> NDArray[Scalar]:
    """Apply symmetry ``form`` of ``FORMS`` to the last two axes, as a view where NumPy can."""
    turned = pictures.swapaxes(-1, -2) if form & 4 else pictures
    turned = turned[..., ::-1, :] if form & 2 else turned
    return turned[..., ::-1] if form & 1 else turned


def resizing(size: int, to: int) -> NDArray[np.float32]:
    """The (to, size) matrix of Pillow's antialiased Lanczos filter: a resize is two matrix products."""
    identity = Image.fromarray(np.eye(size, dtype=np.float32))
    return np.asarray(identity.resize((size, to), Image.Resampling.LANCZOS))


def grey(images: ImageArray, side: int = SIDE) -> NDArray[np.float32]:
    """Luma (ITU-R 601) resized to a square: (N, H, W, 3) uint8 to (N, side, side) float32 in 0 to 255."""
    rows, columns = resizing(images.shape[1], side), resizing(images.shape[2], side)
    return np.asarray(rows @ (images @ LUMA) @ columns.T)


def low_frequencies(images: ImageArray, rows: IntArray) -> NDArray[np.float32]:
    """The 8 x 8 lowest coefficients of the type-II DCT of the 32 x 32 luma, (len(rows), 8, 8) float32.

    ``images`` is read in blocks; resize and transform are one (8, H) matrix from either side.
    """
    basis = dct(np.eye(SIDE), axis=0)[:LOW]
    down = (basis @ resizing(images.shape[1], SIDE)).astype(np.float32)
    across = (basis @ resizing(images.shape[2], SIDE)).astype(np.float32).T
    found = np.empty((len(rows), LOW, LOW), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        found[block] = down @ (images[rows[block]] @ LUMA) @ across
    return found


def turned(low: NDArray[np.float32], form: int) -> NDArray[np.float32]:
    """The coefficients of a picture after a symmetry, from those before it.

    A flip of the picture changes the sign of the odd coefficients along its axis, a transposition transposes them;
    so one transform gives all eight hashes.
    """
    signs = np.where(np.arange(LOW) % 2, np.float32(-1), np.float32(1))
    coefficients = low.swapaxes(-1, -2) if form & 4 else low
    coefficients = coefficients * signs[:, None] if form & 2 else coefficients
    return coefficients * signs if form & 1 else coefficients


def dct_hash(low: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The 64-bit perceptual hash of (N, 8, 8) low frequencies, (N,) uint64.

    A bit says whether a coefficient exceeds the median of the 64: the ``phash`` of the ImageHash package, on the
    exact resize instead of one rounded to 8 bits, and with the bits in the order of ``BIT_ORDER``.
    """
    flat = low.reshape(len(low), LOW * LOW)
    bits = (flat > np.median(flat, axis=1, keepdims=True))[:, BIT_ORDER]
    return np.packbits(np.ascontiguousarray(bits), axis=1).view(">u8")[:, 0].astype(np.uint64)


_DOWN, _ACROSS = np.divmod(np.arange(LOW * LOW), LOW)
BIT_ORDER = np.concatenate([np.lexsort((_DOWN, _DOWN + _ACROSS))[band::4] for band in range(4)])
"""Coefficients from low to high frequency, dealt to four words of 16 bits: neighbours depend on each other, and the
search by bands looks at a third fewer pairs when no band holds them all."""
