"""What moves, recolours or hides pixels of an image, or mixes two of a batch and their labels; most by keras-cv."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from kit.images.augment.pipeline import Batch, BatchOp, Context, Fill, ImageOp, Positive, Share, keras_cv, layer_op
from kit.runtime.lazy import tf

Turn = Callable[[Any], Any]

QUARTERS: tuple[Turn, ...] = tuple(partial(np.rot90, k=k) for k in range(4))


def flip(mode: Literal["horizontal", "vertical", "both"] = "horizontal", rate: Share = 0.5) -> BatchOp:
    """Mirror images along each named axis with probability ``rate``."""
    sides: dict[str, list[Turn]] = {"horizontal": [np.fliplr], "vertical": [np.flipud], "both": [np.fliplr, np.flipud]}

    def call(batch: Batch, context: Context) -> Batch:
        for side in sides[mode]:
            chosen = tf.cast(context.draw([1])[:, 0] < rate, tf.int32)
            batch = _moved(batch, [np.asarray, side], chosen)
        return batch

    return BatchOp(call)


def quarter_turn() -> BatchOp:
    """Turn by 0, 90, 180 or 270 degrees, evenly."""
    return _evenly(QUARTERS)


def dihedral() -> BatchOp:
    """One of the eight flips and quarter turns, evenly: right where up and left mean nothing, as under a microscope."""
    return _evenly([*QUARTERS, *(lambda grid, turn=turn: np.fliplr(turn(grid)) for turn in QUARTERS)])


def crop(pixels: Annotated[int, Field(ge=1, le=8)] = 2) -> BatchOp:
    """Shift each axis by up to ``pixels`` whole pixels: a crop of the image with a reflected border."""

    def cropped(down: int, right: int, grid: Any) -> Any:
        return np.pad(grid, pixels, mode="reflect")[down : down + len(grid), right : right + len(grid)]

    return _evenly([partial(cropped, *place) for place in np.ndindex(2 * pixels + 1, 2 * pixels + 1)])


def _evenly(turns: Sequence[Turn]) -> BatchOp:
    def call(batch: Batch, context: Context) -> Batch:
        return _moved(batch, turns, tf.cast(context.draw([1])[:, 0] * len(turns), tf.int32))

    return BatchOp(call)


def _moved(batch: Batch, turns: Sequence[Turn], chosen: Any) -> Batch:
    """Each image after the turn of its number; one gather, because TensorFlow transposes images slowly."""
    images = batch["images"]
    side = int(images.shape[1])
    places = np.stack([turn(np.arange(side * side, dtype=np.int32).reshape(side, side)).ravel() for turn in turns])
    flat = tf.reshape(images, [-1, side * side, 3])
    found = tf.gather(flat, tf.gather(places, chosen), batch_dims=1)
    return {**batch, "images": tf.reshape(found, [-1, side, side, 3])}


def rotation(degrees: Annotated[float, Field(gt=0, le=180)] = 15.0, fill: Fill = "reflect") -> ImageOp:
    """Turn by an angle from -``degrees`` to ``degrees`` (keras-cv's ``RandomRotation``)."""
    return layer_op("RandomRotation", degrees / 360, fill_mode=fill)


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first number is larger than the second")
    return bounds


Area = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], AfterValidator(_in_order)
]
Ratio = Annotated[tuple[Positive, Positive], AfterValidator(_in_order)]
DRAWS = 10  # of a rectangle, until one fits


def random_resized_crop(scale: Area = (0.35, 1.0), ratio: Ratio = (0.75, 4 / 3)) -> ImageOp:
    """A random rectangle, enlarged to the size of the image (Szegedy et al. 2015).

    Its share of the area is even in ``scale``, the logarithm of its width by its height in that of ``ratio``, its place
    in all places: the law of torchvision's layer, but for corners at whole pixels. Where none of ten draws fits, it is
    the largest rectangle in the middle with the nearest ratio to 1.
    """
    nearest = float(np.clip(1.0, *ratio))
    middle = np.minimum(1.0, [1 / nearest, nearest]).astype(np.float32)

    def call(image: Any) -> Any:
        side, area = int(image.shape[0]), tf.random.uniform([DRAWS], *scale)
        wide = tf.exp(tf.random.uniform([DRAWS], *np.log(ratio).tolist()))
        drawn = tf.sqrt(tf.stack([area / wide, area * wide], axis=1))  # shares of the sides
        fits = tf.reduce_all(drawn <= 1.0, axis=1)
        one = tf.reduce_any(fits)
        share = tf.where(one, drawn[tf.argmax(tf.cast(fits, tf.int32))], middle)
        corner = tf.where(one, tf.random.uniform([2]), 0.5) * (1.0 - share) * side
        # Cubic: bilinear enlarging before the network makes it smaller again would blur what was cropped for detail.
        size, shift = [side, side], -corner / share
        found = tf.raw_ops.ScaleAndTranslate(
            images=image[None], size=size, scale=1.0 / share, translation=shift, kernel_type="keyscubic"
        )
        return tf.clip_by_value(found[0], 0.0, 255.0)

    return ImageOp(call)


def zoom(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Zoom in or out by up to ``factor``, both axes alike (keras-cv's ``RandomZoom``)."""
    return layer_op("RandomZoom", (-factor, factor), fill_mode=fill)


def translation(factor: Share = 0.1, fill: Fill = "reflect") -> ImageOp:
    """Shift each axis by up to the share ``factor`` of the side (keras-cv's ``RandomTranslation``)."""
    return layer_op("RandomTranslation", factor, factor, fill_mode=fill)


def shear(factor: Share = 0.15, fill: Fill = "reflect") -> ImageOp:
    """Shear each axis by up to ``factor`` (keras-cv's ``RandomShear``)."""
    return layer_op("RandomShear", factor, factor, fill_mode=fill)


RANGE = (0, 255)


def _by_factor(layer: str, default: float, given: Callable[[float], Any], **options: Any) -> Callable[..., ImageOp]:
    """The factory of a layer of keras-cv with one key ``factor``, of which ``given`` makes that of the layer."""

    def factory(factor: Share = default) -> ImageOp:
        return layer_op(layer, factor=given(factor), **options)

    return factory


# Add up to `factor` of the whole range, up or down.
brightness = _by_factor("RandomBrightness", 0.2, lambda factor: (-factor, factor), value_range=RANGE)
# Stretch around each channel's mean by 1 - `factor` to 1 + `factor`.
contrast = _by_factor("RandomContrast", 0.3, lambda factor: factor, value_range=RANGE)
# Turn the hue by up to `factor` of half the circle.
hue = _by_factor("RandomHue", 0.1, lambda factor: (0.0, factor), value_range=RANGE)
# Blend with the grey image by up to `factor`.
color_degeneration = _by_factor("RandomColorDegeneration", 0.5, lambda factor: (0.0, factor))
# Shift each channel by up to half of `factor` of the range.
channel_shift = _by_factor("RandomChannelShift", 0.2, lambda factor: (0.0, factor), value_range=RANGE)
# Sharpen by up to `factor`.
sharpness = _by_factor("RandomSharpness", 0.5, lambda factor: (0.0, factor), value_range=RANGE)


def saturation(factor: Annotated[float, Field(gt=0, le=0.5)] = 0.2) -> ImageOp:
    """Less or more colour: 0.5 is from none to full (``RandomSaturation``, for which 0.5 is unchanged)."""
    return layer_op("RandomSaturation", (0.5 - factor, 0.5 + factor))


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


def stain(factor: Positive = 0.3) -> ImageOp:
    """Multiply each channel's optical density by exp(-``factor``) to exp(``factor``): weaker or stronger dyes."""

    def call(image: Any) -> Any:
        power = tf.exp(tf.random.uniform([3], -factor, factor))
        return 255.0 * tf.pow(tf.clip_by_value(image / 255.0, 0.0, 1.0), power)

    return ImageOp(call)


def gradient(factor: Share = 0.3) -> ImageOp:
    """Light that grows across the image in any direction, from the share 1 - ``factor`` at most to 1 + ``factor``."""

    def call(image: Any) -> Any:
        slopes = tf.random.uniform([2], -factor / 2, factor / 2)
        down, across = (tf.linspace(-slopes[axis], slopes[axis], image.shape[axis]) for axis in range(2))
        return tf.clip_by_value(image * (1.0 + down[:, None, None] + across[:, None]), 0.0, 255.0)

    return ImageOp(call)


def jpeg(quality: Annotated[int, Field(ge=1, le=99)] = 40) -> ImageOp:
    """Compress as a JPEG of a quality from ``quality`` to 100 (keras-cv's ``RandomJpegQuality``).

    That layer passes pixels on to ``tf.image``, which takes floats for shares of 1: fed with 0 to 255 it returns white.
    """
    layer = layer_op("RandomJpegQuality", (quality, 100))
    return ImageOp(lambda image: layer.call(image / 255.0) * 255.0)


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
