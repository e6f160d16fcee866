"""What hides parts of an image, or mixes two of a batch and their labels, which become soft; all by keras-cv."""

from kit.images.augment.pipeline import Batch, BatchOp, Context, ImageOp, Positive, Share, keras_cv, layer_op
from kit.runtime.lazy import tf


def cutout(factor: Share = 0.4) -> ImageOp:
    """A black rectangle of up to the share ``factor`` of each side (DeVries & Taylor 2017; ``RandomCutout``)."""
    return layer_op("RandomCutout", (0.0, factor), (0.0, factor))


def gridmask(ratio: Share = 0.5, rotation: Share = 0.15) -> ImageOp:
    """A turned grid of black squares, up to ``ratio`` of a cell's side (Chen et al. 2020; ``GridMask``)."""
    return layer_op("GridMask", ratio_factor=(0.0, ratio), rotation_factor=rotation)


def cutmix(alpha: Positive = 1.0) -> BatchOp:
    """CutMix (Yun et al. 2019): a rectangle of another image of the batch, labels by area.

    keras-cv gives labels for the rectangle as drawn, though what lies beyond the border is not painted. So its layer
    mixes the images' numbers, which tell where each pixel comes from, and labels are counted from that.
    """
    layer = keras_cv.layers.CutMix(alpha=alpha)

    def call(batch: Batch, context: Context) -> Batch:
        images, labels = batch["images"], batch["labels"]
        own = tf.range(tf.cast(tf.shape(images)[0], tf.float32))[:, None, None, None]
        source = layer({"images": own + tf.zeros_like(images[..., :1]), "labels": labels})["images"]
        foreign = source != own
        # An image without a painted pixel is its own partner.
        partner = own + tf.reduce_sum(tf.where(foreign, source - own, 0.0), axis=[1, 2, 3], keepdims=True) / tf.maximum(
            tf.reduce_sum(tf.cast(foreign, tf.float32), axis=[1, 2, 3], keepdims=True), 1.0
        )
        partner = tf.cast(tf.round(partner[:, 0, 0, 0]), tf.int32)
        share = tf.reduce_mean(tf.cast(foreign, tf.float32), axis=[1, 2])
        painted = tf.where(foreign, tf.gather(images, partner), images)
        return {"images": painted, "labels": (1 - share) * labels + share * tf.gather(labels, partner)}

    return BatchOp(call, mixes=True)


def mixup(alpha: Positive = 0.2) -> BatchOp:
    """MixUp (Zhang et al. 2018): a weighted mean with another image of the batch, labels too."""
    layer = keras_cv.layers.MixUp(alpha=alpha)

    def call(batch: Batch, context: Context) -> Batch:
        mixed = layer({"images": batch["images"], "labels": batch["labels"]})
        return {"images": mixed["images"], "labels": mixed["labels"]}

    return BatchOp(call, mixes=True)
