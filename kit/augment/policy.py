"""Augmentation policies that choose operations at random for each image; by keras-cv."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kit.augment.ops import ImageOp, Share, layer_op


def randaugment(
    ops: Annotated[int, Field(ge=1, le=10)] = 3,
    magnitude: Share = 0.5,
    rate: Share = 10 / 11,
    geometric: bool = True,
) -> ImageOp:
    """RandAugment (Cubuk et al. 2020): ``ops`` operations an image, each with probability ``rate``.

    ``keras.layers.RandAugment`` is not the same: it picks one list of operations for the whole batch and computes
    every one of them, at a tenth of the speed.
    """
    import keras_cv

    layer = keras_cv.layers.RandAugment(
        (0, 255), augmentations_per_image=ops, magnitude=magnitude, rate=rate, geometric=geometric
    )
    return layer_op(layer)


def augmix(severity: Share = 0.3, chains: Annotated[int, Field(ge=1, le=8)] = 3, alpha: float = 1.0) -> ImageOp:
    """AugMix (Hendrycks et al. 2020): a random mean of the image and ``chains`` chains of operations on it.

    ``keras.layers.AugMix`` freezes its choice of operations when it is traced, and ignores its seed.
    """
    import keras_cv

    return layer_op(keras_cv.layers.AugMix((0, 255), severity=severity, num_chains=chains, alpha=alpha))
