"""How well one small grey picture explains another, whatever shift, zoom, brightness and contrast."""

import numpy as np
from numpy.typing import NDArray

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
    down = _sampling(pictures.shape[-1], motion[:, 1], motion[:, 3])
    across = _sampling(pictures.shape[-1], motion[:, 0], motion[:, 2])
    return np.asarray(down @ pictures @ across.swapaxes(1, 2))


def _sampling(side: int, shift: NDArray[np.float32], zoom: NDArray[np.float32]) -> NDArray[np.float32]:
    positions = np.arange(side, dtype=np.float32) + shift[:, None] + zoom[:, None] * _ramp(side)
    positions = np.clip(positions, 0, side - 1)
    distance = np.abs(positions[:, :, None] - np.arange(side, dtype=np.float32))
    return np.asarray(np.maximum(1 - distance, 0), np.float32)


def detail(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a 3 x 3 mean takes away, edges repeated: (P, S, S) to (P, S, S) float32."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), "edge")
    mean = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return np.asarray(pictures - (mean[:, :, :-2] + mean[:, :, 1:-1] + mean[:, :, 2:]) / 3)
