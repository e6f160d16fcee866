"""What changes the levels of pixels and not their places, as light, cameras and files do; all by keras-cv."""

from typing import Annotated, Any

from pydantic import Field

from kit.images.augment.pipeline import ImageOp, Positive, Share, layer_op
from kit.runtime.lazy import tf

RANGE = (0, 255)


def brightness(factor: Share = 0.2) -> ImageOp:
    """Add up to ``factor`` of the whole range, up or down (``RandomBrightness``)."""
    return layer_op("RandomBrightness", (-factor, factor), value_range=RANGE)


def contrast(factor: Share = 0.3) -> ImageOp:
    """Stretch around each channel's mean by 1 - ``factor`` to 1 + ``factor`` (``RandomContrast``)."""
    return layer_op("RandomContrast", factor=factor, value_range=RANGE)


def hue(factor: Share = 0.1) -> ImageOp:
    """Turn the hue by up to ``factor`` of half the circle (``RandomHue``)."""
    return layer_op("RandomHue", (0.0, factor), value_range=RANGE)


def saturation(factor: Annotated[float, Field(gt=0, le=0.5)] = 0.2) -> ImageOp:
    """Less or more colour: 0.5 is from none to full (``RandomSaturation``, for which 0.5 is unchanged)."""
    return layer_op("RandomSaturation", (0.5 - factor, 0.5 + factor))


def color_degeneration(factor: Share = 0.5) -> ImageOp:
    """Blend with the grey image by up to ``factor`` (``RandomColorDegeneration``)."""
    return layer_op("RandomColorDegeneration", (0.0, factor))


def channel_shift(factor: Share = 0.2) -> ImageOp:
    """Shift each channel by up to half of ``factor`` of the range (``RandomChannelShift``)."""
    return layer_op("RandomChannelShift", factor=(0.0, factor), value_range=RANGE)


def solarize(threshold: Annotated[float, Field(ge=0, le=255)] = 128.0, addition: Share = 0.2) -> ImageOp:
    """Add up to the share ``addition``, then invert above a level of ``threshold`` or more (``Solarization``)."""
    return layer_op(
        "Solarization",
        value_range=RANGE,
        addition_factor=(0.0, 255 * addition) if addition else 0.0,
        threshold_factor=(threshold, 255.0),
    )


def posterize(bits: Annotated[int, Field(ge=1, le=8)] = 5) -> ImageOp:
    """Keep the first ``bits`` bits of every level (``Posterization``)."""
    return layer_op("Posterization", value_range=RANGE, bits=bits)


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
