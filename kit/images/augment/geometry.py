"""Flips and turns, which move pixels whole, and what interpolates them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from kit.images.augment.pipeline import Batch, BatchOp, Context, Fill, ImageOp, Share, layer_op
from kit.runtime.lazy import tf

Turn = Callable[[Any], Any]

QUARTERS: tuple[Turn, ...] = tuple(partial(np.rot90, k=k) for k in range(4))


def flip(mode: Literal["horizontal", "vertical", "both"] = "horizontal", rate: Share = 0.5) -> BatchOp:
    """Mirror images along each named axis with probability ``rate``."""
    sides: dict[str, list[Turn]] = {"horizontal": [np.fliplr], "vertical": [np.flipud], "both": [np.fliplr, np.flipud]}

    def call(batch: Batch, context: Context) -> Batch:
        for side in sides[mode]:
            chosen = tf.cast(context.draw([1])[:, 0] < rate, tf.int32)
            batch = _moved(batch, [np.asarray, side], chosen)
        return batch

    return BatchOp(call)


def quarter_turn() -> BatchOp:
    """Turn by 0, 90, 180 or 270 degrees, evenly."""
    return _evenly(QUARTERS)


def dihedral() -> BatchOp:
    """One of the eight flips and quarter turns, evenly: right where up and left mean nothing, as under a microscope."""
    return _evenly([*QUARTERS, *(lambda grid, turn=turn: np.fliplr(turn(grid)) for turn in QUARTERS)])


def _evenly(turns: Sequence[Turn]) -> BatchOp:
    def call(batch: Batch, context: Context) -> Batch:
        return _moved(batch, turns, tf.cast(context.draw([1])[:, 0] * len(turns), tf.int32))

    return BatchOp(call)


def _moved(batch: Batch, turns: Sequence[Turn], chosen: Any) -> Batch:
    """Each image after the turn of its number; one gather, because TensorFlow transposes images slowly."""
    images = batch["images"]
    side = int(images.shape[1])
    places = np.stack([turn(np.arange(side * side, dtype=np.int32).reshape(side, side)).ravel() for turn in turns])
    flat = tf.reshape(images, [-1, side * side, 3])
    found = tf.gather(flat, tf.gather(places, chosen), batch_dims=1)
    return {**batch, "images": tf.reshape(found, [-1, side, side, 3])}


def rotation(degrees: Annotated[float, Field(gt=0, le=180)] = 15.0, fill: Fill = "reflect") -> ImageOp:
    """Turn by an angle from -``degrees`` to ``degrees`` (keras-cv's ``RandomRotation``)."""
    return layer_op("RandomRotation", degrees / 360, fill_mode=fill)


def zoom(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Zoom in or out by up to ``factor``, both axes alike (keras-cv's ``RandomZoom``)."""
    return layer_op("RandomZoom", (-factor, factor), fill_mode=fill)


def translation(factor: Share = 0.1, fill: Fill = "reflect") -> ImageOp:
    """Shift each axis by up to the share ``factor`` of the side (keras-cv's ``RandomTranslation``)."""
    return layer_op("RandomTranslation", factor, factor, fill_mode=fill)


def shear(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Shear each axis by up to ``factor`` (keras-cv's ``RandomShear``)."""
    return layer_op("RandomShear", factor, factor, fill_mode=fill)
