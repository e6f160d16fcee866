"""What lamps, stains and sensors do: brightness, contrast, saturation, colour cast, noise."""

import numpy as np

from kit.images.corrupt import Pixels, Rng

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Added, in grey levels of 255: ImageNet-C's .1 to .5 of the range, less the last step, which leaves little to see.
BRIGHTER = (20, 40, 60, 80, 105)
# Share of the light that is left.
DARKER = (0.85, 0.70, 0.55, 0.42, 0.30)
# Factor on the distance from the picture's mean colour.
CONTRAST_UP = (1.3, 1.6, 2.0, 2.5, 3.2)
CONTRAST_DOWN = (0.75, 0.60, 0.45, 0.30, 0.20)
# Factor on the distance from grey: the one or the other, half of the pictures each.
SATURATION_DOWN = (0.75, 0.55, 0.35, 0.18, 0.0)
SATURATION_UP = (1.3, 1.6, 2.0, 2.5, 3.2)
# Largest relative gain or loss of a channel.
CAST = (0.08, 0.14, 0.21, 0.29, 0.38)
# Standard deviation in grey levels; ImageNet-C's .08 to .38 of the range are meant for 224 px.
NOISE_SIGMA = (7, 13, 20, 30, 44)


def brightness_up(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Add `BRIGHTER`."""
    return pixels + np.float32(BRIGHTER[severity - 1])


def brightness_down(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Multiply by `DARKER`."""
    return pixels * np.float32(DARKER[severity - 1])


def contrast_up(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Move away from the picture's mean colour by `CONTRAST_UP`."""
    return _stretched(pixels, CONTRAST_UP[severity - 1])


def contrast_down(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Move towards the picture's mean colour by `CONTRAST_DOWN`."""
    return _stretched(pixels, CONTRAST_DOWN[severity - 1])


def saturation(pixels: Pixels, severity: int, rng: Rng) -> Pixels:
    """Move towards grey or away from it, by `SATURATION_DOWN` or `SATURATION_UP`."""
    factor = (SATURATION_DOWN if rng.random() < 0.5 else SATURATION_UP)[severity - 1]
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


def _stretched(pixels: Pixels, factor: float) -> Pixels:
    middle: Pixels = pixels.mean(axis=(0, 1))
    return middle + (pixels - middle) * np.float32(factor)
