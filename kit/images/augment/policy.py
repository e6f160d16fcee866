"""Augmentation policies that choose operations at random for each image; RandAugment and AugMix by keras-cv."""

from typing import Annotated

from pydantic import Field

from kit.config import AugmentConfig
from kit.images.augment.choice import maybe
from kit.images.augment.ops import ImageOp, Op, Share, layer_op


def randaugment(
    ops: Annotated[int, Field(ge=1, le=10)] = 3, magnitude: Share = 0.5, rate: Share = 10 / 11, geometric: bool = True
) -> ImageOp:
    """RandAugment (Cubuk et al. 2020): ``ops`` operations an image, each with probability ``rate``.

    ``keras.layers.RandAugment`` is not the same: it picks one list of operations for the whole batch and computes
    every one of them, at a tenth of the speed.
    """
    return layer_op(
        "RandAugment", (0, 255), augmentations_per_image=ops, magnitude=magnitude, rate=rate, geometric=geometric
    )


def augmix(severity: Share = 0.3, chains: Annotated[int, Field(ge=1, le=8)] = 3, alpha: float = 1.0) -> ImageOp:
    """AugMix (Hendrycks et al. 2020): a random mean of the image and ``chains`` chains of operations on it.

    ``keras.layers.AugMix`` freezes its choice of operations when it is traced, and ignores its seed.
    """
    return layer_op("AugMix", (0, 255), severity=severity, num_chains=chains, alpha=alpha)


def degrade(
    ops: Annotated[int, Field(ge=1, le=7)] = 2, magnitude: Annotated[float, Field(gt=0, le=1)] = 0.5, rate: Share = 0.8
) -> Op:
    """With probability ``rate``, ``ops`` draws of what makes a picture worse: blur, noise, light, contrast and colour.

    The kit's own policy against a test that was scanned or photographed worse than the training images; what it is
    worth on clean and on corrupted images is measured in ``docs/experiments.md``. At ``magnitude`` 1 blur reaches
    4 px, noise 50 levels, brightness .5, contrast 1, saturation and channels .5, hue .1 as their entries define it.
    """
    m = magnitude
    entries: list[dict[str, float | str]] = [
        {"op": "blur", "sigma": 4 * m},
        {"op": "noise", "deviation": 50 * m},
        {"op": "brightness", "factor": 0.5 * m},
        {"op": "contrast", "factor": m},
        {"op": "saturation", "factor": min(0.5, 0.8 * m)},
        {"op": "channel-shift", "factor": 0.5 * m},
        {"op": "hue", "factor": 0.1 * m},
    ]
    drawn = AugmentConfig.model_validate({"op": "some-of", "k": ops, "ops": entries})
    return maybe((drawn,), rate)
