"""What every image goes through before the network, in training and at test alike; part of the network's graph.

TensorFlow alone, because it travels in the bundle. Images are (B, S, S, 3) float32, 0 to 255, in and out. Each entry
of `PREPROCESSORS` is a function of such a batch and of its own keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .lazy import keras, tf

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
LEVELS = 256

Keys = dict[str, str | int | float]
"""A step as it is described: ``op`` names it, the others are its own."""


def illumination(images: Any, *, radius: int = 12, sigma: float = 8.0) -> Any:
    """Divide by the background: a grey closing, which removes what is darker and smaller than it, then a Gaussian blur.

    ``radius`` of the square of the closing, larger than the objects, and ``sigma`` of the blur are in pixels.
    """
    background = tf.maximum(_blur(_erode(_dilate(images, radius), radius), sigma), 1.0)
    level = tf.reduce_mean(background, axis=[1, 2], keepdims=True)
    return tf.clip_by_value(images / background * level, 0.0, 255.0)


def clahe(images: Any, *, clip: float = 2.0, tiles: int = 4) -> Any:
    """Contrast-limited adaptive histogram equalisation of the brightness (Zuiderveld 1994).

    ``clip`` is the highest bar of a tile's histogram, in means; what stands over is spread evenly. Pixels are
    interpolated between the mappings of the ``tiles`` along each side.
    """
    luma = tf.tensordot(images, tf.constant(LUMA), 1)
    mapped = _interpolated(luma, _tile_maps(luma, clip, tiles), tiles)
    return tf.clip_by_value(images + (mapped - luma)[..., None], 0.0, 255.0)


def bilateral(images: Any, *, radius: int = 2, sigma_space: float = 2.0, sigma_color: float = 25.0) -> Any:
    """Mean of the neighbours that look alike: smooth areas, sharp edges (Tomasi & Manduchi 1998).

    ``radius`` of the square window is in pixels; weights fall with distance in pixels and in levels.
    """
    side, padded = images.shape[1], tf.pad(images, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
    total, weights = tf.zeros_like(images), tf.zeros_like(images[..., :1])
    for y in range(2 * radius + 1):
        for x in range(2 * radius + 1):
            there = padded[:, y : y + side, x : x + side]
            far = ((y - radius) ** 2 + (x - radius) ** 2) / (2 * sigma_space**2)
            unlike = tf.reduce_sum((there - images) ** 2, axis=-1, keepdims=True) / (2 * sigma_color**2)
            weight = tf.exp(-far - unlike)
            total, weights = total + weight * there, weights + weight
    return total / weights


def segmentation(images: Any, *, radius: int = 2, background: float = 255.0) -> Any:
    """Paint over what is not an object: darker than Otsu's threshold (1979), after an opening and a closing.

    ``radius`` of the square of both is in pixels: specks and holes up to it vanish. ``background`` is a level.
    """
    luma = tf.tensordot(images, tf.constant(LUMA), 1)[..., None]
    mask = tf.cast(luma <= otsu(luma)[:, None, None, None], tf.float32)
    opened = _dilate(_erode(mask, radius), radius)
    closed = _erode(_dilate(opened, radius), radius)
    return closed * images + (1.0 - closed) * background


def resize(images: Any, *, size: int = 96) -> Any:
    """Bilinear resize to ``size`` pixels a side, smoothed before it is made smaller."""
    return tf.image.resize(images, (size, size), antialias=True)


PREPROCESSORS: dict[str, Callable[..., Any]] = {
    step.__name__: step for step in (illumination, clahe, bilateral, segmentation, resize)
}


def apply(steps: Sequence[Keys], images: Any) -> Any:
    """A batch, or its symbol in a network, after all ``steps``."""
    for number, keys in enumerate(steps):
        options = {key: value for key, value in keys.items() if key != "op"}
        step = partial(PREPROCESSORS[str(keys["op"])], **options)
        side = side_after([keys], int(images.shape[1]))
        name = f"preprocess_{number}_{keys['op']}"
        # float32 whatever the network computes in: levels are told apart here.
        images = keras.layers.Lambda(step, output_shape=(side, side, 3), dtype="float32", name=name)(images)
    return images


def side_after(steps: Sequence[Keys], side: int) -> int:
    """The side of images of ``side`` pixels after all ``steps``."""
    for keys in steps:
        side = int(keys.get("size", 96)) if keys["op"] == "resize" else side
    return side


def otsu(luma: Any) -> Any:
    """(B,) the level that splits each image's histogram into two classes that are farthest apart (Otsu 1979)."""
    counts = _histograms(tf.reshape(luma, [tf.shape(luma)[0], -1]))
    share = tf.cumsum(counts, axis=1) / tf.reduce_sum(counts, axis=1, keepdims=True)
    levels = tf.range(LEVELS, dtype=tf.float32)
    mean = tf.cumsum(counts * levels, axis=1) / tf.reduce_sum(counts, axis=1, keepdims=True)
    apart = tf.math.divide_no_nan((mean[:, -1:] * share - mean) ** 2, share * (1.0 - share))
    return tf.cast(tf.argmax(apart, axis=1), tf.float32) + 0.5


def _histograms(rows: Any) -> Any:
    """(R, 256) counts of the rounded levels of (R, n) values."""
    levels = tf.cast(tf.clip_by_value(tf.round(rows), 0.0, LEVELS - 1.0), tf.int32)
    number = tf.shape(rows)[0]
    places = levels + LEVELS * tf.range(number)[:, None]
    flat = tf.math.unsorted_segment_sum(tf.ones_like(rows), places, LEVELS * number)
    return tf.reshape(flat, [number, LEVELS])


def _tile_maps(luma: Any, clip: float, tiles: int) -> Any:
    """(B, tiles, tiles, 256): the level that each level of a tile is mapped to."""
    side = luma.shape[1]
    tile = -(-side // tiles)
    grown = tf.pad(luma, [[0, 0], [0, tile * tiles - side], [0, tile * tiles - side]], "SYMMETRIC")
    cut = tf.transpose(tf.reshape(grown, [-1, tiles, tile, tiles, tile]), [0, 1, 3, 2, 4])
    counts = _histograms(tf.reshape(cut, [-1, tile * tile]))
    limit = clip * tile * tile / LEVELS
    over = tf.reduce_sum(tf.maximum(counts - limit, 0.0), axis=1, keepdims=True)
    cumulated = tf.cumsum(tf.minimum(counts, limit) + over / LEVELS, axis=1)
    return tf.reshape(cumulated * (LEVELS - 1.0) / (tile * tile), [-1, tiles, tiles, LEVELS])


def _interpolated(luma: Any, maps: Any, tiles: int) -> Any:
    """Each pixel's level after the mappings of the four nearest tiles, weighed by nearness."""
    side = luma.shape[1]
    place = (tf.range(side, dtype=tf.float32) + 0.5) / float(-(-side // tiles)) - 0.5
    low = tf.floor(place)
    part = place - low
    levels = tf.cast(tf.clip_by_value(tf.round(luma), 0.0, LEVELS - 1.0), tf.int32)
    image = tf.broadcast_to(tf.range(tf.shape(luma)[0])[:, None, None], tf.shape(levels))
    out = tf.zeros_like(luma)
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = (tf.cast(tf.clip_by_value(low + d, 0.0, tiles - 1.0), tf.int32) for d in (dy, dx))
            rows = tf.broadcast_to(y[None, :, None], tf.shape(levels))
            columns = tf.broadcast_to(x[None, None, :], tf.shape(levels))
            found = tf.gather_nd(maps, tf.stack([image, rows, columns, levels], axis=-1))
            weight_y, weight_x = (part if d else 1.0 - part for d in (dy, dx))
            out += weight_y[None, :, None] * weight_x[None, None, :] * found
    return out


def _dilate(images: Any, radius: int) -> Any:
    return tf.nn.max_pool2d(images, 2 * radius + 1, 1, "SAME")


def _erode(images: Any, radius: int) -> Any:
    return -_dilate(-images, radius)


def _blur(images: Any, sigma: float) -> Any:
    """Gaussian blur of three deviations on a reflected border.

    As two products with a matrix: a depthwise convolution with so wide a kernel never ends under TensorFlow 2.16.
    """
    side = int(images.shape[1])
    radius = min(max(1, round(3 * sigma)), side)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    places = np.pad(np.eye(side), ((radius, radius), (0, 0)), mode="symmetric")
    rows = [kernel / kernel.sum() @ places[place : place + 2 * radius + 1] for place in range(side)]
    given = np.array(rows, np.float32)  # what every place is given of all places
    return tf.einsum("ij,bjwc,kw->bikc", given, images, given)
