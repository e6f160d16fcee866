"""What changes the levels of pixels and not their places; all by keras-cv, each image by itself."""

from typing import Annotated

from pydantic import Field

from kit.images.augment.ops import ImageOp, Share, layer_op

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
