"""The families of corruptions, in the order of `kit.images.corrupt.GROUPS`: each hurts one picture.

Parameters stand as tables beside the functions.
"""

import io
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from kit.images.corrupt import LUMA, Corruption, Pixels, Rng

# Standard deviation of the Gaussian, share of the side: ImageNet-C's 1, 2, 3, 4, 6 px of 224.
BLUR_SIGMA = (0.0045, 0.009, 0.0135, 0.018, 0.027)
# Radius of the disk, share of the side: ImageNet-C's 3, 4, 6, 8, 10 px of 224.
DEFOCUS_RADIUS = (0.0135, 0.018, 0.027, 0.036, 0.045)
# Length of the path in any direction, share of the side.
MOTION_LENGTH = (0.04, 0.07, 0.10, 0.14, 0.18)
# Share of the side that is left: ImageNet-C's. The one length that counts pixels, since resolution is what is lost.
PIXELATE_SHARE = (0.6, 0.5, 0.4, 0.3, 0.25)
# Pillow's quality: ImageNet-C's.
JPEG_QUALITY = (25, 18, 15, 10, 7)
# Standard deviation in px of the least that a blur does: less than this, and small pictures would stay as they are.
LEAST_BLUR = 0.3
# Points per pixel and axis at which a kernel is sampled, so that fractions of a pixel count.
OVERSAMPLING = 8


def gaussian_blur(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Convolve with a Gaussian of `BLUR_SIGMA`."""
    return blurred(pixels, math.hypot(BLUR_SIGMA[severity - 1] * min(pixels.shape[:2]), LEAST_BLUR))


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """Convolve with a Gaussian of a standard deviation in px."""
    return np.asarray(gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest"), np.float32)


def defocus(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Convolve with a disk of `DEFOCUS_RADIUS`: every point of light becomes the lens' opening."""
    return _convolved(pixels, _disk(math.hypot(DEFOCUS_RADIUS[severity - 1] * min(pixels.shape[:2]), 2 * LEAST_BLUR)))


def motion_blur(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Convolve with a straight path of `MOTION_LENGTH` in a random direction."""
    length = math.hypot(MOTION_LENGTH[severity - 1] * min(pixels.shape[:2]), 3 * LEAST_BLUR)
    return _convolved(pixels, _path(length, rng.uniform(0, math.pi)))


def pixelate(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Shrink to `PIXELATE_SHARE` of the side by the mean and repeat pixels."""
    height, width = pixels.shape[:2]
    share = PIXELATE_SHARE[severity - 1]
    size = max(1, round(width * share)), max(1, round(height * share))
    small = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST), np.float32)


def jpeg(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Write and read as JPEG of `JPEG_QUALITY`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=JPEG_QUALITY[severity - 1])
    return np.asarray(Image.open(buffer), np.float32)


@lru_cache(maxsize=64)
def _disk(radius: float) -> Pixels:
    reach = math.ceil(radius + 0.5)
    fine = np.arange(-reach - 0.5, reach + 0.5, 1 / OVERSAMPLING) + 0.5 / OVERSAMPLING
    inside = (fine[:, None] ** 2 + fine**2 <= radius**2).astype(np.float32)
    side = 2 * reach + 1
    kernel = inside.reshape(side, OVERSAMPLING, side, OVERSAMPLING).sum((1, 3))
    return np.asarray(kernel / kernel.sum(), np.float32)


def _path(length: float, angle: float) -> Pixels:
    reach = math.ceil(length / 2 + 0.5)
    along = np.linspace(-length / 2, length / 2, max(2, math.ceil(length * OVERSAMPLING)))
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2), np.float32)
    y, x = along * math.sin(angle) + reach, along * math.cos(angle) + reach
    low_y, low_x = np.floor(y).astype(int), np.floor(x).astype(int)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - dy - (y - low_y)) * np.abs(1 - dx - (x - low_x))
        np.add.at(kernel, (low_y + dy, low_x + dx), weight)
    kernel = kernel[:-1, :-1]
    return np.asarray(kernel / kernel.sum(), np.float32)


def _convolved(pixels: Pixels, kernel: Pixels) -> Pixels:
    """Convolve (H, W, 3) with an odd square kernel through the Fourier transform; the border is repeated."""
    reach = kernel.shape[0] // 2
    height, width = pixels.shape[:2]
    planes = np.pad(pixels.transpose(2, 0, 1), ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    shape = tuple(next_fast_len(side, real=True) for side in planes.shape[1:])
    product = rfft2(planes, shape) * rfft2(kernel, shape)
    full = irfft2(product, shape)
    return np.asarray(
        full[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width].transpose(1, 2, 0), np.float32
    )


def stretched(pixels: Pixels, factor: float) -> Pixels:
    """Multiply the distance from the picture's mean colour."""
    middle: Pixels = pixels.mean(axis=(0, 1))
    return middle + (pixels - middle) * np.float32(factor)


def _by(change: Callable[[Pixels, Any], Pixels], *numbers: float) -> Corruption:
    """The family that changes pixels by a number for each severity."""
    return lambda pixels, severity, rng: change(pixels, np.float32(numbers[severity - 1]))


# Grey levels of 255 that are added: ImageNet-C's .1 to .5 of the range, less the last step, which leaves little to see;
# the share of the light that is left; factors on the distance from the mean colour.
brightness_up = _by(np.add, 20, 40, 60, 80, 105)
brightness_down = _by(np.multiply, 0.85, 0.70, 0.55, 0.42, 0.30)
contrast_up = _by(stretched, 1.3, 1.6, 2.0, 2.5, 3.2)
contrast_down = _by(stretched, 0.75, 0.60, 0.45, 0.30, 0.20)
# Factor on the distance from grey: the one or the other, half of the pictures each.
SATURATION_DOWN = (0.75, 0.55, 0.35, 0.18, 0.0)
SATURATION_UP = (1.3, 1.6, 2.0, 2.5, 3.2)
# Largest relative gain or loss of a channel.
CAST = (0.08, 0.14, 0.21, 0.29, 0.38)
# Standard deviation in grey levels; ImageNet-C's .08 to .38 of the range are meant for 224 px.
NOISE_SIGMA = (7, 13, 20, 30, 44)


def saturation(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Move towards grey or away from it, by `SATURATION_DOWN` or `SATURATION_UP`."""
    return coloured(pixels, (SATURATION_DOWN if rng.random() < 0.5 else SATURATION_UP)[severity - 1])


def coloured(pixels: Pixels, factor: float) -> Pixels:
    """Multiply the distance from grey."""
    grey: Pixels = (pixels @ LUMA)[..., None]
    return grey + (pixels - grey) * np.float32(factor)


def colour_cast(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Multiply the channels by a random tint whose largest gain or loss is `CAST`."""
    tint = rng.uniform(-1, 1, 3)
    gain: Pixels = (1 + CAST[severity - 1] * tint / np.abs(tint).max()).astype(np.float32)
    return pixels * gain


def noise(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Add independent Gaussian noise of `NOISE_SIGMA`."""
    grain = rng.standard_normal(pixels.shape, np.float32)
    return pixels + grain * np.float32(NOISE_SIGMA[severity - 1])


# Number of spots, and their largest radius as a share of the side.
SPOTS = (4, 8, 12, 18, 26)
SPOT_RADIUS = (0.03, 0.035, 0.04, 0.045, 0.05)
# Number of bubbles, their largest radius as a share of the side, and how white their inside is.
BUBBLES = (1, 2, 3, 5, 7)
BUBBLE_RADIUS = (0.10, 0.12, 0.14, 0.16, 0.18)
BUBBLE_MILK = (0.15, 0.25, 0.35, 0.45, 0.55)
RIM = 0.12  # of a bubble's radius
# Share of the area that is hidden.
HIDDEN = (0.03, 0.07, 0.12, 0.19, 0.28)


def stain_spots(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Scatter `SPOTS` soft dark spots of one violet to brown stain."""
    dye = rng.uniform((60, 0, 40), (130, 60, 140)).astype(np.float32)
    places = rng.uniform(size=(SPOTS[-1], 2))
    sizes = rng.uniform(0.4, 1, SPOTS[-1]) * SPOT_RADIUS[severity - 1]
    out = pixels.copy()
    for place, size in zip(places[: SPOTS[severity - 1]], sizes, strict=False):
        window, distance = _around(out, place, 1.5 * size, size)
        cover = np.clip(1.5 - distance, 0, 1)[..., None]
        out[window] += (dye - out[window]) * cover * np.float32(0.9)
    return out


def bubbles(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Lay `BUBBLES` milky disks with a dark rim over the picture."""
    places = rng.uniform(size=(BUBBLES[-1], 2))
    sizes = rng.uniform(0.5, 1, BUBBLES[-1]) * BUBBLE_RADIUS[severity - 1]
    milk = np.float32(BUBBLE_MILK[severity - 1])
    out = pixels.copy()
    for place, size in zip(places[: BUBBLES[severity - 1]], sizes, strict=False):
        window, distance = _around(out, place, (1 + RIM) * size, size)
        inside = (distance < 1).astype(np.float32)[..., None]
        rim = np.clip(1 - np.abs(distance - 1) / RIM, 0, 1)[..., None]
        out[window] += inside * milk * (245 - out[window])
        out[window] *= 1 - np.float32(0.6) * rim
    return out


def occlusion(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Hide `HIDDEN` of the area behind a rectangle of one random colour."""
    height, width = pixels.shape[:2]
    stretch = np.sqrt(rng.uniform(0.5, 2))
    side = np.sqrt(HIDDEN[severity - 1])
    tall, wide = max(1, round(height * side * stretch)), max(1, round(width * side / stretch))
    top, left = (rng.uniform(size=2) * (height - tall + 1, width - wide + 1)).astype(int)
    out = pixels.copy()
    out[top : top + tall, left : left + wide] = rng.uniform(0, 255, 3)
    return out


def _around(
    pixels: Pixels, place: NDArray[np.float64], reach: float, radius: float
) -> tuple[tuple[slice, slice], Pixels]:
    """The window within ``reach`` of a place, and the distance of its pixels from there in radii.

    Places are shares of height and width, lengths shares of the shorter side.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    y, x = place[0] * height - 0.5, place[1] * width - 0.5
    rows = np.arange(max(0, int(y - reach * side)), min(height, int(y + reach * side) + 2), dtype=np.float32)
    columns = np.arange(max(0, int(x - reach * side)), min(width, int(x + reach * side) + 2), dtype=np.float32)
    distance = np.sqrt((rows[:, None] - y) ** 2 + (columns - x) ** 2) / max(radius * side, 0.5)
    window = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return window, np.asarray(distance, np.float32)


# Factor on the size of what is seen, larger or smaller, half of the pictures each.
SCALE = (1.08, 1.16, 1.25, 1.37, 1.55)
# Largest change, up or down, of the logarithm of a channel's optical density: that of the strength of the dye.
STAIN = (0.12, 0.25, 0.40, 0.58, 0.80)
# Relative gain of light at the one border, and loss at the other.
GRADIENT = (0.12, 0.22, 0.34, 0.48, 0.65)


def scale(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Enlarge or shrink around the middle by `SCALE`; what comes into view is the mirror image of the border."""
    height, width = pixels.shape[:2]
    share = SCALE[severity - 1] ** (-1 if rng.random() < 0.5 else 1)
    y, x = (math.ceil(max(0.0, side * (share - 1) / 2)) for side in (height, width))
    padded = Image.fromarray(np.pad(pixels, ((y, y), (x, x), (0, 0)), "symmetric").astype(np.uint8))
    top, left = y + height * (1 - share) / 2, x + width * (1 - share) / 2
    box = (left, top, left + width * share, top + height * share)
    return np.asarray(padded.resize((width, height), Image.Resampling.BILINEAR, box), np.float32)


def stain(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Stronger or weaker dyes: multiply each channel's optical density by up to exp(`STAIN`) or its inverse.

    Density is proportional to the dye's concentration (Beer and Lambert); as Tellez et al. 2018, without fitted stains.
    """
    change = rng.uniform(-1, 1, 3)
    power: Pixels = np.exp(STAIN[severity - 1] * change / np.abs(change).max()).astype(np.float32)
    return np.asarray(255 * (pixels / 255) ** power, np.float32)


def gradient(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """A lamp out of the middle: light that grows across the picture in one direction, by `GRADIENT`."""
    return pixels * (1 + np.float32(GRADIENT[severity - 1]) * _across(pixels, rng))


def tilted_focus(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """A slide that lies askew: sharp at the one border, and out of focus (`defocus`) at the other."""
    return np.asarray(pixels + (defocus(pixels, severity, rng) - pixels) * (1 + _across(pixels, rng)) / 2, np.float32)


def _across(pixels: Pixels, rng: Rng) -> Pixels:
    """(H, W, 1) from -1 to 1 along a random direction."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.zeros(1) for side in pixels.shape[:2])
    angle = rng.uniform(0, 2 * math.pi)
    ramp = y[:, None] * math.sin(angle) + x * math.cos(angle)
    return np.asarray(ramp / (abs(math.sin(angle)) + abs(math.cos(angle))), np.float32)[..., None]
