"""Augmentations made of others, chosen for each image; RandAugment and AugMix by keras-cv."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from kit.config import AugmentConfig
from kit.errors import ConfigError
from kit.images.augment.pipeline import Batch, BatchOp, Context, ImageOp, Op, Share, build_ops, keras_cv, layer_op
from kit.runtime.lazy import tf

Ops = Annotated[tuple[AugmentConfig, ...], Field(min_length=1)]


def sequence(ops: Ops) -> Op:
    """All of ``ops``, in order."""
    return _chained(build_ops(ops))


def maybe(ops: Ops, rate: Share = 0.5) -> Op:
    """All of ``ops`` with probability ``rate``, or none."""
    return _chosen([_chained(build_ops(ops)), ImageOp(lambda image: image)], [rate, 1 - rate])


def one_of(ops: Ops, weights: tuple[Annotated[float, Field(ge=0)], ...] = ()) -> Op:
    """One of ``ops``, with probabilities in proportion to ``weights``, evenly where there are none."""
    if weights and (len(weights) != len(ops) or not sum(weights)):
        raise ConfigError(f"augmentation 'one-of' has {len(ops)} ops and weights {list(weights)}")
    return _chosen(build_ops(ops), weights or [1.0] * len(ops))


def some_of(ops: Ops, k: Annotated[int, Field(ge=1, le=16)] = 2) -> Op:
    """``k`` draws from ``ops`` one after the other, the same one perhaps twice (as RandAugment draws)."""
    return _chained([one_of(ops)] * k)


def _chained(ops: Sequence[Op]) -> Op:
    calls = [op.call for op in ops if isinstance(op, ImageOp)]
    if len(calls) == len(ops):

        def through(image: Any) -> Any:
            for call in calls:
                image = call(image)
            return image

        return ImageOp(through)

    return BatchOp(lambda batch, context: context.chain(ops, batch))


def _chosen(ops: Sequence[Op], weights: Sequence[float]) -> Op:
    """One of ``ops`` for each image; where one needs the batch, all are computed and each image takes its own."""
    limits = np.cumsum(weights)[:-1] / np.sum(weights)
    calls = [op.call for op in ops if isinstance(op, ImageOp)]
    if len(calls) == len(ops):

        def switch(image: Any) -> Any:
            chosen = tf.reduce_sum(tf.cast(tf.random.uniform([]) >= limits.astype(np.float32), tf.int32))
            return tf.switch_case(chosen, [lambda call=call: call(image) for call in calls])

        return ImageOp(switch)

    def call(batch: Batch, context: Context) -> Batch:
        chosen = tf.reduce_sum(tf.cast(context.draw([1]) >= limits.astype(np.float32), tf.int32), axis=1)
        out = batch
        for number, op in enumerate(ops):
            found, mine = context.apply(op, batch), chosen == number
            images = tf.where(mine[:, None, None, None], found["images"], out["images"])
            out = {"images": images, "labels": tf.where(mine[:, None], found["labels"], out["labels"])}
        return out

    return BatchOp(call)


def randaugment(
    ops: Annotated[int, Field(ge=1, le=10)] = 3, magnitude: Share = 0.5, rate: Share = 10 / 11, geometric: bool = True
) -> ImageOp:
    """RandAugment (Cubuk et al. 2020): ``ops`` operations an image, each with probability ``rate``.

    ``keras.layers.RandAugment`` is not the same: it picks one list of operations for the whole batch and computes
    every one of them, at a tenth of the speed.
    """
    layer = keras_cv.layers.RandAugment(
        (0, 255), augmentations_per_image=ops, magnitude=magnitude, rate=rate, geometric=geometric
    )
    # The same bytes in less time: channels without a loop, and no second shear, which is by 0.
    channel = tf.function(layer.layers[1].equalize_channel)  # which needs AutoGraph
    layer.layers[1].augment_images = lambda images, **_: tf.stack(
        [tf.cast(channel(tf.cast(images, tf.int32), number), images.dtype) for number in range(3)], -1
    )
    for shear, idle in zip(layer.layers[6:8], ("shear_y", "shear_x"), strict=False):
        draw = shear.get_random_transformation_batch
        shear.get_random_transformation_batch = lambda n, draw=draw, idle=idle, **told: draw(n, **told) | {idle: None}
    return ImageOp(lambda image: layer({"images": image})["images"])


def augmix(severity: Share = 0.3, chains: Annotated[int, Field(ge=1, le=8)] = 3, alpha: float = 1.0) -> ImageOp:
    """AugMix (Hendrycks et al. 2020): a random mean of the image and ``chains`` chains of operations on it.

    ``keras.layers.AugMix`` freezes its choice of operations when it is traced, and ignores its seed.
    """
    return layer_op("AugMix", (0, 255), severity=severity, num_chains=chains, alpha=alpha)


def degrade(
    ops: Annotated[int, Field(ge=1, le=7)] = 2,
    magnitude: Annotated[float, Field(gt=0, le=1)] = 0.5,
    rate: Share = 0.8,
    laboratory: bool = False,
) -> Op:
    """With probability ``rate``, ``ops`` draws of what makes a picture worse: blur, noise, light, contrast and colour.

    The kit's own policy against a test that was scanned or photographed worse than the training images; what it is
    worth on clean and on corrupted images is measured in ``docs/experiments.md``. At ``magnitude`` 1 blur reaches
    4 px, noise 50 levels, brightness .5, contrast 1, saturation and channels .5, hue .1 as their entries define it.

    With ``laboratory`` size, stain and light come first, all three with probability ``rate``, because another
    microscope changes them together: at ``magnitude`` 1 zoom .5, stain .6 and gradient .5.
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
    first = [{"op": op, "factor": most * m} for op, most in (("zoom", 0.5), ("stain", 0.6), ("gradient", 0.5))]
    parts = [
        {"op": "maybe", "rate": rate, "ops": first},
        {"op": "maybe", "rate": rate, "ops": [{"op": "some-of", "k": ops, "ops": entries}]},
    ]
    return _chained(build_ops([AugmentConfig.model_validate(part) for part in parts[not laboratory :]]))
