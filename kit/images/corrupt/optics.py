"""What lenses, hands and files do: blurs, coarse pixels, JPEG."""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from kit.images.corrupt import Pixels, Rng

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
    sigma = math.hypot(BLUR_SIGMA[severity - 1] * min(pixels.shape[:2]), LEAST_BLUR)
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
    small = _image(pixels).resize((max(1, round(width * share)), max(1, round(height * share))), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.NEAREST), np.float32)


def jpeg(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Write and read as JPEG of `JPEG_QUALITY`."""
    buffer = io.BytesIO()
    _image(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY[severity - 1])
    return np.asarray(Image.open(buffer), np.float32)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.astype(np.uint8))


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
