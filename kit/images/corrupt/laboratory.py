"""What another laboratory does: its optics, its stain, its lamp and its stage."""

import math

import numpy as np
from PIL import Image

from kit.images.corrupt import Pixels, Rng
from kit.images.corrupt.optics import defocus

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
    """A slide that lies askew: sharp at the one border, and out of focus (`optics.defocus`) at the other."""
    return np.asarray(pixels + (defocus(pixels, severity, rng) - pixels) * (1 + _across(pixels, rng)) / 2, np.float32)


def _across(pixels: Pixels, rng: Rng) -> Pixels:
    """(H, W, 1) from -1 to 1 along a random direction."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.zeros(1) for side in pixels.shape[:2])
    angle = rng.uniform(0, 2 * math.pi)
    ramp = y[:, None] * math.sin(angle) + x * math.cos(angle)
    return np.asarray(ramp / (abs(math.sin(angle)) + abs(math.cos(angle))), np.float32)[..., None]
