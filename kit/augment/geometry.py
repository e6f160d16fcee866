"""Flips and quarter turns: exact, no pixel is interpolated."""

from __future__ import annotations

from typing import Any, Literal


def flip(mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal", rate: float = 0.5) -> Any:
    """Mirror images with probability ``rate`` (keras-cv's ``RandomFlip``)."""
    import keras_cv

    from kit.augment.pipeline import Op

    return Op(keras_cv.layers.RandomFlip(mode, rate=rate), per_image=False)


def dihedral() -> Any:
    """One of the eight flips and quarter turns, evenly: right where up and left mean nothing, as under a microscope."""
    import tensorflow as tf

    from kit.augment.pipeline import Op

    def call(batch: dict[str, Any]) -> dict[str, Any]:
        images = batch["images"]
        codes = tf.random.uniform([3, tf.shape(images)[0], 1, 1, 1]) < 0.5
        images = tf.where(codes[0], tf.reverse(images, [2]), images)
        images = tf.where(codes[1], tf.reverse(images, [1]), images)
        return {**batch, "images": tf.where(codes[2], tf.transpose(images, [0, 2, 1, 3]), images)}

    return Op(call, per_image=False)
