"""What cleaning looks at of every picture, measured while its pixels are there: none is decoded for it again."""

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt import LUMA
from kit.stages.clean.thumbnails import LOWEST, SIDE, detail, reduced, whole

BLOCK_PIXELS = 1 << 18
FRAME = 4  # pixels of the edge of a picture of `SIDE`


def _statistics(room: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(N, 13) of pictures by their red, green, blue, luma (0 to 255) and room for one more (N, 5, H W), all used up: to
    pass over what is there costs half of what it costs to make another large array.

    5th, 50th and 99th percentile of the brightness, entropy of its histogram (0 to 8 bits), variance of its
    four-neighbour Laplacian inside the picture, mean over the pixels of the largest less the smallest channel (0 is
    grey), mean and standard deviation of red, green and blue, and mean brightness of the middle quarter of the picture
    less that of the whole.
    """
    count, pixels = len(room), height * width
    planes, brightness, levels = room[:, :3], room[:, 3].reshape(count, height, width), room[:, 4]
    red, green, blue = planes.swapaxes(0, 1)  # NumPy is slow along a short axis
    chroma = np.maximum(np.maximum(red, green, out=levels), blue, out=levels).mean(axis=1)
    chroma -= np.minimum(np.minimum(red, green, out=levels), blue, out=levels).mean(axis=1)
    mean, deviation = (values.reshape(count, 3) for values in _moments(planes.reshape(count, 3, height, width)))
    np.rint(room[:, 3], out=levels)
    bytes_of = red.view(np.uint8)[:, :pixels].reshape(brightness.shape)
    np.copyto(bytes_of, levels.reshape(brightness.shape), casting="unsafe")
    histogram = np.array([Image.fromarray(image).histogram() for image in bytes_of]).reshape(count, 256)
    reached = np.cumsum(histogram, axis=1)
    percentiles = [(reached >= share * pixels).argmax(axis=1) for share in (0.05, 0.50, 0.99)]
    shares = histogram / pixels
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    middle = brightness[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    contrast = middle.mean(axis=(1, 2)) - brightness.mean(axis=(1, 2))
    sharpness = np.zeros(count, np.float32)  # where a picture has no inside
    if min(height, width) >= 3:
        inside = brightness[:, 1:-1, 1:-1]
        around, four = (plane[:, : inside[0].size].reshape(inside.shape) for plane in (red, green))
        np.add(brightness[:, 1:-1, :-2], brightness[:, 1:-1, 2:], out=around)
        around += np.add(brightness[:, :-2, 1:-1], brightness[:, 2:, 1:-1], out=four)
        around -= np.multiply(inside, 4, out=four)
        sharpness = _moments(around)[1] ** 2
    columns = [*percentiles, entropy, sharpness, chroma, mean, deviation, contrast]
    return np.column_stack(columns).astype(np.float32)


def _moments(planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each of the ``planes`` (..., H, W), which then have the mean 0."""
    mean = planes.mean(axis=(-2, -1))
    planes -= mean[..., None, None]
    squares = np.einsum("...w,...w->...", planes, planes)
    return mean, np.sqrt(squares.sum(axis=-1) / np.float32(math.prod(planes.shape[-2:])))


def edges_of(pictures: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Detail of the four sides of each grey picture (N, 32, 32) without their corners, what runs along a side taken
    away, in steps of its largest value / 127 (N, P), and how much of it there is as a rule on the emptiest side: the
    median of its absolute value (N,).

    Rounding changes the cosine of two of them by 0.0006 on average (blood cells, generated cells), by 0.006 at most.
    """
    pictures = detail(pictures)
    found = np.stack([np.rot90(pictures, turn, (1, 2))[:, :FRAME, FRAME:-FRAME] for turn in range(4)], axis=1)
    found -= np.median(found, axis=3, keepdims=True)
    sides = found.reshape(len(pictures), 4, FRAME * (SIDE - 2 * FRAME))
    strength = np.median(np.abs(sides), axis=2).min(axis=1)
    edges = found.reshape(len(pictures), 4 * FRAME * (SIDE - 2 * FRAME))
    return np.rint(edges * (127 / np.maximum(np.abs(edges).max(axis=1, keepdims=True), 1e-6))).astype(np.int8), strength


class Measured(NamedTuple):
    """A line a picture of N in each array."""

    frames: NDArray[Any]  # (N, 4) int64: top, left, height and width of what is no padding
    pixels: NDArray[Any]  # (N, 32) uint8: their SHA-256; the others are float32 but for int8 edges
    low: NDArray[Any]  # (N, 8, 8) the 8 x 8 lowest coefficients of the DCT of the 32 x 32 luma
    edges: NDArray[Any]  # (N, P) and
    strength: NDArray[Any]  # (N,) of `edges_of`
    statistics: NDArray[Any]  # (N, 13) of `_statistics`

    @property
    def digests(self) -> list[str]:
        """SHA-256 of the pixels of each picture."""
        return [digest.tobytes().hex() for digest in self.pixels]


def pixel_digests(images: ImageArray) -> NDArray[np.uint8]:
    """(N, 32) SHA-256 of the pixels of each image."""
    digests = b"".join(hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images)
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def measure(images: ImageArray, frames: IntArray | None = None) -> Measured:
    """Measure images (N, H, W, 3) uint8, of which ``frames`` (N, 4) show the picture, all by default, in blocks that
    fit a processor's cache."""
    frames = whole(images) if frames is None else frames
    height, width = images.shape[1:3]
    size = max(1, BLOCK_PIXELS // (height * width))
    room = np.empty((min(size, len(images)), 5, height * width), np.float32)
    small, found = np.empty((len(images), SIDE, SIDE), np.float32), np.empty((len(images), 13), np.float32)
    for start in range(0, len(images), size):
        block, here = slice(start, start + size), room[: len(images) - start]
        here[:, :3] = images[block].reshape(len(here), -1, 3).transpose(0, 2, 1)
        np.matmul(LUMA, here[:, :3], out=here[:, 3])
        luma = here[:, 3].reshape(-1, height, width)
        small[block] = reduced(luma, frames[block], np.eye(SIDE, dtype=np.float32))
        found[block] = _statistics(here, height, width)
    return Measured(frames, pixel_digests(images), LOWEST @ small @ LOWEST.T, *edges_of(small), found)
