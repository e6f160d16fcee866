"""Small grey pictures: their low frequencies, their fine detail, and how well one explains another."""

from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dct

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt import LUMA
from kit.runtime import decode

SIDE = 32
LOW = 8
# The lowest coefficients of the type-II DCT: resize and transform are one (8, H) matrix from either side.
LOWEST = dct(np.eye(SIDE), axis=0)[:LOW].astype(np.float32)

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
    return reduced(images @ LUMA, frames, np.eye(side, dtype=np.float32))


def reduced(luma: NDArray[np.float32], frames: IntArray, basis: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients (N, K, K) in ``basis`` (K, side) along both axes of ``luma`` (N, H, W) in each frame, resized to
    ``side``."""
    down, across = (_sampling(basis, frames[:, axis::2], luma.shape[1 + axis]) for axis in (0, 1))
    return np.asarray(down @ luma @ across.swapaxes(1, 2))


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


# Two steps: the second starts within a tenth of a pixel for 2 px crops of 96 px; a third changed nothing.
STEPS = 2
LARGEST_MOVE = 0.1
MARGIN = 2
# Keeps the normal equations of a flat picture solvable; grey values have squares in the tens of thousands.
RIDGE = 1e-3


def agreement(ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compare pairs of pictures (P, S, S) after each first one was moved onto the second.

    Returns (P, 2): the share of the variance of the second explained (R squared), and the correlation of the fine
    detail inside a margin. A flat picture explains nothing and has no detail: 0.

    Gauss-Newton on the tangent plane of the picture (Simard, LeCun and Denker 1993): the second is regressed on a
    constant, the first and the derivatives of the first with respect to two shifts and two zooms; then the first
    is moved by what was found, and once more.
    """
    moved, motion = ones, np.zeros((len(ones), 4), np.float32)
    for _ in range(STEPS):
        explained, step = _regression(moved, others)
        motion = motion + step
        moved = _moved(ones, motion)
    # Inside a margin that a crop may have changed.
    inside = [detail(x)[:, MARGIN:-MARGIN, MARGIN:-MARGIN].reshape(len(x), -1) for x in (moved, others)]
    one, other = (x - x.mean(axis=1, keepdims=True) for x in inside)
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.stack([explained, (one * other).sum(axis=1) / np.maximum(scale, RIDGE)], axis=1).astype(np.float64)


def _regression(
    ones: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """R squared (P,) of the regression on the tangent plane, and the move (P, 4): shifts in px, zooms in px."""
    side = ones.shape[-1]
    ramp = _ramp(side)
    across, down = np.gradient(ones, axis=2), np.gradient(ones, axis=1)
    planes = np.stack([ones, across, down, across * ramp, down * ramp[:, None]], axis=1)
    design = (planes - planes.mean(axis=(2, 3), keepdims=True)).reshape(len(ones), 5, -1)
    target = (others - others.mean(axis=(1, 2), keepdims=True)).reshape(len(ones), -1, 1)
    normal = design @ design.swapaxes(1, 2) + RIDGE * np.eye(5, dtype=np.float32)
    moment = design @ target
    weights = np.linalg.solve(normal, moment)
    explained = (weights * moment).sum(axis=(1, 2)) / np.maximum((target**2).sum(axis=(1, 2)), RIDGE)
    gain = np.where(np.abs(weights[:, :1, 0]) < 0.1, 0.1, weights[:, :1, 0])
    limit = LARGEST_MOVE * side
    return explained.astype(np.float64), np.clip(weights[:, 1:, 0] / gain, -limit, limit).astype(np.float32)


def _ramp(side: int) -> NDArray[np.float32]:
    """Coordinate of every pixel, from -1 to 1 across the picture."""
    return ((np.arange(side) - (side - 1) / 2) / (side / 2)).astype(np.float32)


def _moved(pictures: NDArray[np.float32], motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear resampling by shifts (columns 0, 1) and zooms (2, 3): two matrix products a picture."""
    down = _bilinear(pictures.shape[-1], motion[:, 1], motion[:, 3])
    across = _bilinear(pictures.shape[-1], motion[:, 0], motion[:, 2])
    return np.asarray(down @ pictures @ across.swapaxes(1, 2))


def _bilinear(side: int, shift: NDArray[np.float32], zoom: NDArray[np.float32]) -> NDArray[np.float32]:
    positions = np.arange(side, dtype=np.float32) + shift[:, None] + zoom[:, None] * _ramp(side)
    positions = np.clip(positions, 0, side - 1)
    distance = np.abs(positions[:, :, None] - np.arange(side, dtype=np.float32))
    return np.asarray(np.maximum(1 - distance, 0), np.float32)


def detail(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a 3 x 3 mean takes away, edges repeated: (P, S, S) to (P, S, S) float32."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), "edge")
    mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return np.asarray(pictures - (mean[:, :, :-2] + mean[:, :, 1:-1] + mean[:, :, 2:]) / 3)
