"""What lies on the slide: spots of stain, air bubbles, things in front."""

import numpy as np
from numpy.typing import NDArray

from kit.images.corrupt import Pixels, Rng

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
