"""Augmentation policies that choose operations at random for each image."""

from __future__ import annotations

from typing import Any


def randaugment(ops: int = 3, magnitude: float = 0.5, rate: float = 10 / 11, geometric: bool = True) -> Any:
    """RandAugment (Cubuk et al. 2020) by keras-cv: ``ops`` operations an image, each with probability ``rate``.

    ``keras.layers.RandAugment`` is not the same: it picks one list of operations for the whole batch and computes
    every one of them, at a tenth of the speed.
    """
    import keras_cv

    from kit.augment.pipeline import Op

    layer = keras_cv.layers.RandAugment(
        (0, 255), augmentations_per_image=ops, magnitude=magnitude, rate=rate, geometric=geometric
    )
    return Op(layer, per_image=True)
