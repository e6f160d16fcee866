"""Views: copies of the images for test-time augmentation: turned or flipped, where no pixel is interpolated, or lit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Images = Any  # (N, H, W, 3) array; quarter turns need H = W

LIGHT = 0.1  # share of the range of levels


def _lit(x: Images, share: float) -> Images:
    return np.clip(np.asarray(x, np.float32) + 255.0 * share, 0.0, 255.0)


TURNS: dict[str, Callable[[Images], Images]] = {
    "identity": lambda x: x,
    "flip-lr": lambda x: x[:, :, ::-1],
    "flip-ud": lambda x: x[:, ::-1],
    "rot180": lambda x: x[:, ::-1, ::-1],
    "transpose": lambda x: np.swapaxes(x, 1, 2),
    "rot90": lambda x: np.rot90(x, 1, axes=(1, 2)),
    "rot270": lambda x: np.rot90(x, 3, axes=(1, 2)),
    "anti-transpose": lambda x: np.swapaxes(x, 1, 2)[:, ::-1, ::-1],
}
VIEWS: dict[str, Callable[[Images], Images]] = {
    **TURNS,
    "brighter": lambda x: _lit(x, LIGHT),
    "darker": lambda x: _lit(x, -LIGHT),
}


def apply(name: str, images: Images) -> Images:
    """The view called ``name`` of images (N, H, W, 3)."""
    return np.ascontiguousarray(VIEWS[name](images))
