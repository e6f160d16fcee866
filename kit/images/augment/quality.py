"""What cameras and files do to a picture: sharpness, blur, noise, compression."""

from typing import Annotated, Any

from pydantic import Field

from kit.images.augment.ops import ImageOp, Positive, Share, layer_op
from kit.runtime.lazy import tf


def sharpness(factor: Share = 0.5) -> ImageOp:
    """Sharpen by up to ``factor`` (keras-cv's ``RandomSharpness``)."""
    return layer_op("RandomSharpness", (0.0, factor), value_range=(0, 255))


def blur(sigma: Positive = 1.5) -> ImageOp:
    """Gaussian blur of up to ``sigma`` pixels by keras-cv, on a reflected border: by itself it darkens the edge."""
    radius = max(1, round(3 * sigma))
    layer = layer_op("RandomGaussianBlur", 2 * radius + 1, (0.0, sigma))

    def call(image: Any) -> Any:
        padded = tf.pad(image, [[radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
        return layer.call(padded)[radius:-radius, radius:-radius]

    return ImageOp(call)


def noise(deviation: Positive = 10.0) -> ImageOp:
    """Gaussian noise with a standard deviation of up to ``deviation`` levels, its own for each image."""

    def call(image: Any) -> Any:
        strength = tf.random.uniform([], 0.0, deviation)
        return tf.clip_by_value(image + strength * tf.random.normal(tf.shape(image)), 0.0, 255.0)

    return ImageOp(call)


def jpeg(quality: Annotated[int, Field(ge=1, le=99)] = 40) -> ImageOp:
    """Compress as a JPEG of a quality from ``quality`` to 100 (keras-cv's ``RandomJpegQuality``).

    That layer passes pixels on to ``tf.image``, which takes floats for shares of 1: fed with 0 to 255 it returns white.
    """
    layer = layer_op("RandomJpegQuality", (quality, 100))
    return ImageOp(lambda image: layer.call(image / 255.0) * 255.0)
