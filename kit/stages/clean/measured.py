"""What cleaning looks at of every picture, measured while its pixels are there: none is decoded for it again."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt import LUMA
from kit.stages.clean.thumbnails import LOWEST, SIDE, detail, reduced, whole

BLOCK_PIXELS = 1 << 18
FRAME = 4  # pixels of the edge of a picture of `SIDE`


def statistics(images: ImageArray) -> NDArray[np.float32]:
    """(N, 13) of images (N, H, W, 3) uint8; brightness is luma from 0 to 255.

    5th, 50th and 99th percentile of the brightness, entropy of its histogram (0 to 8 bits), variance of its
    four-neighbour Laplacian inside the picture, mean over the pixels of the largest less the smallest channel (0 is
    grey), mean and standard deviation of red, green and blue, and mean brightness of the middle quarter of the picture
    less that of the whole.
    """
    return measure(images).statistics


def _planes(images: ImageArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Red, green and blue (N, 3, H W) float32, and luma (N, H, W)."""
    count, height, width = images.shape[:3]
    planes = images.reshape(count, height * width, 3).transpose(0, 2, 1).astype(np.float32, order="C")
    return planes, (LUMA @ planes).reshape(count, height, width)


def _statistics(planes: NDArray[np.float32], brightness: NDArray[np.float32]) -> NDArray[np.float32]:
    count, height, width = brightness.shape
    levels = np.rint(brightness).astype(np.uint8)
    histogram = np.array([Image.fromarray(image).histogram() for image in levels]).reshape(count, 256)
    reached = np.cumsum(histogram, axis=1)
    percentiles = [(reached >= share * height * width).argmax(axis=1) for share in (0.05, 0.50, 0.99)]
    shares = histogram / (height * width)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    red, green, blue = planes.swapaxes(0, 1)  # NumPy is slow along a short axis
    chroma = np.maximum(np.maximum(red, green), blue)
    chroma -= np.minimum(np.minimum(red, green), blue)
    colour = np.concatenate([planes.mean(axis=2), planes.std(axis=2)], axis=1)
    middle = brightness[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    contrast = middle.mean(axis=(1, 2)) - brightness.mean(axis=(1, 2))
    sharpness = np.zeros(count, np.float32)  # where a picture has no inside
    if min(height, width) >= 3:
        around = brightness[:, 1:-1, :-2] + brightness[:, 1:-1, 2:]
        around += brightness[:, :-2, 1:-1] + brightness[:, 2:, 1:-1]
        around -= 4 * brightness[:, 1:-1, 1:-1]
        sharpness = around.var(axis=(1, 2))
    columns = [*percentiles, entropy, sharpness, chroma.mean(axis=1), colour, contrast]
    return np.column_stack(columns).astype(np.float32)


def edges_of(pictures: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Detail of the four sides of each grey picture (N, 32, 32) without their corners, what runs along a side taken
    away, scaled to length one (N, P), and how much of it there is as a rule on the emptiest side: the median of its
    absolute value (N,)."""
    pictures = detail(pictures)
    found = np.stack([np.rot90(pictures, turn, (1, 2))[:, :FRAME, FRAME:-FRAME] for turn in range(4)], axis=1)
    found -= np.median(found, axis=3, keepdims=True)
    sides = found.reshape(len(pictures), 4, FRAME * (SIDE - 2 * FRAME))
    strength = np.median(np.abs(sides), axis=2).min(axis=1)
    edges = found.reshape(len(pictures), 4 * FRAME * (SIDE - 2 * FRAME))
    return edges / np.maximum(np.linalg.norm(edges, axis=1, keepdims=True), 1e-6), strength


class Measured(NamedTuple):
    """A line a picture of N in each array."""

    frames: NDArray[Any]  # (N, 4) int64: top, left, height and width of what is no padding
    pixels: NDArray[Any]  # (N, 32) uint8: their SHA-256; the others are float32
    low: NDArray[Any]  # (N, 8, 8) the 8 x 8 lowest coefficients of the DCT of the 32 x 32 luma
    edges: NDArray[Any]  # (N, P) and
    strength: NDArray[Any]  # (N,) of `edges_of`
    statistics: NDArray[Any]  # (N, 13) of `statistics`

    @property
    def digests(self) -> list[str]:
        """SHA-256 of the pixels of each picture."""
        return [digest.tobytes().hex() for digest in self.pixels]


def pixel_digests(images: ImageArray) -> NDArray[np.uint8]:
    """(N, 32) SHA-256 of the pixels of each image."""
    digests = b"".join(hashlib.sha256(image.tobytes()).digest() for image in images)
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def measure(images: ImageArray, frames: IntArray | None = None) -> Measured:
    """Measure images (N, H, W, 3) uint8, of which ``frames`` (N, 4) show the picture, all by default, in blocks that
    fit a processor's cache."""
    frames = whole(images) if frames is None else frames
    size = max(1, BLOCK_PIXELS // int(np.prod(images.shape[1:3])))
    parts = []
    for block in (slice(start, start + size) for start in range(0, max(len(images), 1), size)):
        pixels, shown = np.asarray(images[block]), frames[block]
        planes, luma = _planes(pixels)
        edges = edges_of(reduced(luma, shown, np.eye(SIDE, dtype=np.float32)))
        parts.append((shown, pixel_digests(pixels), reduced(luma, shown, LOWEST), *edges, _statistics(planes, luma)))
    return Measured(*map(np.concatenate, zip(*parts, strict=True)))
