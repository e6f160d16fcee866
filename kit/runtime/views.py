"""Views: copies of the images for test-time augmentation: turned, flipped, lit, or a part or more of the picture.

Turns and flips interpolate no pixel. All other views are made by the one function that also resizes for the networks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from . import preprocess

Images = Any  # (N, H, W, 3) array; quarter turns need H = W

LIGHT = 0.1  # share of the range of levels
CROP, ZOOM = 1 / 8, 1 / 4  # share of the side that a crop, and a zoom, leaves out


def _lit(x: Images, share: float) -> Images:
    return np.clip(np.asarray(x, np.float32) + 255.0 * share, 0.0, 255.0)


def _cropped(x: Images, share: float, down: float, right: float) -> Images:
    """Without a ``share`` of the side, of which ``down`` lies above and ``right`` to the left; as large as before."""
    side = x.shape[1]
    kept = side - round(side * share)
    top, left = (round((side - kept) * place) for place in (down, right))
    return _brought_to(x[:, top : top + kept, left : left + kept], side)


def _smaller(x: Images) -> Images:
    """The whole picture on the part of the side that `larger` keeps, in a frame of its mirror image."""
    frame = round(x.shape[1] * ZOOM / (1 - ZOOM) / 2)
    edges = ((0, 0), (frame, frame), (frame, frame), (0, 0))
    return _brought_to(np.pad(x, edges, mode="symmetric"), x.shape[1])


def _brought_to(x: Images, side: int) -> Images:
    # TensorFlow does not resize all types of numbers that a platform may pass.
    return preprocess.resize(np.asarray(x, np.float32), size=side).numpy()


PLACES = {"centre": (0.5, 0.5), "top-left": (0, 0), "top-right": (0, 1), "bottom-left": (1, 0), "bottom-right": (1, 1)}
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
RESIZED: dict[str, Callable[[Images], Images]] = {  # by TensorFlow
    **{f"crop-{name}": partial(_cropped, share=CROP, down=down, right=right) for name, (down, right) in PLACES.items()},
    "larger": partial(_cropped, share=ZOOM, down=0.5, right=0.5),
    "smaller": _smaller,
}
LIT = {"brighter": lambda x: _lit(x, LIGHT), "darker": lambda x: _lit(x, -LIGHT)}
VIEWS: dict[str, Callable[[Images], Images]] = {**TURNS, **LIT, **RESIZED}


def apply(name: str, images: Images) -> Images:
    """The view called ``name`` of images (N, H, W, 3)."""
    return np.ascontiguousarray(VIEWS[name](images))
