"""Augmentations that mix two images and their labels; the labels become soft."""

from __future__ import annotations

from typing import Any


def cutmix(alpha: float = 1.0) -> Any:
    """CutMix (Yun et al. 2019) by keras-cv: a rectangle of another image of the batch, labels by area."""
    import keras_cv

    from kit.augment.pipeline import Op

    return Op(keras_cv.layers.CutMix(alpha=alpha), per_image=False)


def mixup(alpha: float = 0.2) -> Any:
    """MixUp (Zhang et al. 2018) by keras-cv: a weighted mean with another image of the batch, labels too."""
    import keras_cv

    from kit.augment.pipeline import Op

    return Op(keras_cv.layers.MixUp(alpha=alpha), per_image=False)
