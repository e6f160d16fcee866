"""Flips and turns, which move pixels whole, and what interpolates them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kit.augment.ops import Batch, BatchOp, Context, Fill, ImageOp, Share, layer_op


def flip(mode: Literal["horizontal", "vertical", "both"] = "horizontal", rate: Share = 0.5) -> BatchOp:
    """Mirror images along each named axis with probability ``rate``."""
    axes = {"horizontal": [2], "vertical": [1], "both": [2, 1]}[mode]

    def call(batch: Batch, context: Context) -> Batch:
        import tensorflow as tf

        images = batch["images"]
        for axis in axes:
            images = tf.where(context.draw([1, 1, 1]) < rate, tf.reverse(images, [axis]), images)
        return {**batch, "images": images}

    return BatchOp(call)


def quarter_turn() -> BatchOp:
    """Turn by 0, 90, 180 or 270 degrees, evenly."""

    def call(batch: Batch, context: Context) -> Batch:
        import tensorflow as tf

        images = batch["images"]
        turned = tf.where(context.draw([1, 1, 1]) < 0.5, tf.reverse(images, [1, 2]), images)
        quarter = tf.reverse(tf.transpose(turned, [0, 2, 1, 3]), [1])
        return {**batch, "images": tf.where(context.draw([1, 1, 1]) < 0.5, quarter, turned)}

    return BatchOp(call)


def dihedral() -> BatchOp:
    """One of the eight flips and quarter turns, evenly: right where up and left mean nothing, as under a microscope."""

    def call(batch: Batch, context: Context) -> Batch:
        import tensorflow as tf

        images = batch["images"]
        drawn = context.draw([3, 1, 1, 1]) < 0.5
        images = tf.where(drawn[:, 0], tf.reverse(images, [2]), images)
        images = tf.where(drawn[:, 1], tf.reverse(images, [1]), images)
        return {**batch, "images": tf.where(drawn[:, 2], tf.transpose(images, [0, 2, 1, 3]), images)}

    return BatchOp(call)


def rotation(degrees: Annotated[float, Field(gt=0, le=180)] = 15.0, fill: Fill = "reflect") -> ImageOp:
    """Turn by an angle from -``degrees`` to ``degrees`` (keras-cv's ``RandomRotation``)."""
    import keras_cv

    return layer_op(keras_cv.layers.RandomRotation(degrees / 360, fill_mode=fill))


def zoom(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Zoom in or out by up to ``factor``, both axes alike (keras-cv's ``RandomZoom``)."""
    import keras_cv

    return layer_op(keras_cv.layers.RandomZoom((-factor, factor), fill_mode=fill))


def translation(factor: Share = 0.1, fill: Fill = "reflect") -> ImageOp:
    """Shift each axis by up to the share ``factor`` of the side (keras-cv's ``RandomTranslation``)."""
    import keras_cv

    return layer_op(keras_cv.layers.RandomTranslation(factor, factor, fill_mode=fill))


def shear(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Shear each axis by up to ``factor`` (keras-cv's ``RandomShear``)."""
    import keras_cv

    return layer_op(keras_cv.layers.RandomShear(factor, factor, fill_mode=fill))
