"""What the hidden test's camera does to pictures."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from kit.images.corrupt.colour import LUMA
from kit.images.sources.practice.draws import DEGRADE, generator

Pixels = NDArray[np.float32]


def degrade(images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Corrupt each picture of (N, S, S, 3) in one of the ways of `CORRUPTIONS`, drawn from (seed, row)."""
    kinds = list(CORRUPTIONS.values())
    spoilt = np.empty_like(images)
    for row, image in enumerate(images):
        rng = generator(seed, DEGRADE, row)
        corrupt, severity = kinds[rng.integers(len(kinds))], float(rng.uniform(0.3, 0.9))
        pixels = corrupt(image.astype(np.float32), severity, rng)
        spoilt[row] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return spoilt


def _blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    sigma = severity * pixels.shape[0] / 32
    return np.asarray(gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest"), np.float32)


def _brightness(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    return pixels + np.float32(rng.choice([-75, 45]) * severity)


def _contrast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    middle: Pixels = pixels.mean(axis=(0, 1), dtype=np.float32)
    return middle + (pixels - middle) * np.float32(rng.choice([1 - 0.65 * severity, 1 + 0.8 * severity]))


def _noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    return pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(32 * severity)


def _saturation(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    grey: Pixels = (pixels @ LUMA)[..., None]
    return grey + (pixels - grey) * np.float32(rng.choice([1 - 0.9 * severity, 1 + severity]))


def _cast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    tint = rng.uniform(-1, 1, 3).astype(np.float32)
    return pixels * (1 + np.float32(0.28 * severity) * tint)


CORRUPTIONS = {
    "clean": lambda pixels, severity, rng: pixels,
    "blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "noise": _noise,
    "saturation": _saturation,
    "cast": _cast,
}
