"""Augmentations that mix two images of a batch and their labels, which become soft; by keras-cv."""

from __future__ import annotations

from kit.augment.ops import Batch, BatchOp, Context, Positive


def cutmix(alpha: Positive = 1.0) -> BatchOp:
    """CutMix (Yun et al. 2019): a rectangle of another image of the batch, labels by area.

    keras-cv gives labels for the rectangle as drawn, though what lies beyond the border is not painted. A fourth
    channel tells where each pixel came from, and labels are counted from that.
    """
    import keras_cv

    layer = keras_cv.layers.CutMix(alpha=alpha)

    def call(batch: Batch, context: Context) -> Batch:
        import tensorflow as tf

        images, labels = batch["images"], batch["labels"]
        own = tf.range(tf.cast(tf.shape(images)[0], tf.float32))[:, None, None, None]
        marked = tf.concat([images, own + tf.zeros_like(images[..., :1])], axis=-1)
        mixed = layer({"images": marked, "labels": labels})["images"]
        foreign = mixed[..., 3:] != own
        partner = tf.reduce_max(tf.where(foreign, mixed[..., 3:], own), axis=[1, 2, 3])
        least = tf.reduce_min(tf.where(foreign, mixed[..., 3:], own), axis=[1, 2, 3])
        partner = tf.where(partner > own[:, 0, 0, 0], partner, least)
        share = tf.reduce_mean(tf.cast(foreign, tf.float32), axis=[1, 2])
        theirs = tf.gather(labels, tf.cast(partner, tf.int32))
        return {"images": mixed[..., :3], "labels": (1 - share) * labels + share * theirs}

    return BatchOp(call, mixes=True)


def mixup(alpha: Positive = 0.2) -> BatchOp:
    """MixUp (Zhang et al. 2018): a weighted mean with another image of the batch, labels too."""
    import keras_cv

    layer = keras_cv.layers.MixUp(alpha=alpha)

    def call(batch: Batch, context: Context) -> Batch:
        mixed = layer({"images": batch["images"], "labels": batch["labels"]})
        return {"images": mixed["images"], "labels": mixed["labels"]}

    return BatchOp(call, mixes=True)
