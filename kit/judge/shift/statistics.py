"""Colour and texture of a picture in a few numbers, for telling two sets of pictures apart."""

import numpy as np
from numpy.typing import NDArray

from kit.images.corrupt.colour import LUMA

Images = NDArray[np.uint8]
Table = NDArray[np.float32]

NAMES = (
    "red", "green", "blue", "red spread", "green spread", "blue spread", "saturation", "darkest", "brightest",
    "fine detail", "middle detail", "coarse detail", "clipped", "blocks of 8",
)  # fmt: skip
BLOCK = 512


def image_statistics(images: Images) -> Table:
    """(N, len(NAMES)) float32 of (N, H, W, 3) uint8 images; a row depends on its own picture alone.

    Means and standard deviations of the channels, mean of largest less smallest channel, 2nd and 98th percentile of
    the luma, logarithms of the mean absolute luma difference over 1, 2 and 4 px, the share of values at 0 or 255, and
    how much sharper the borders of JPEG's blocks are than the rest.
    """
    blocks = [_block(np.asarray(images[start : start + BLOCK])) for start in range(0, len(images), BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(NAMES)), np.float32)


def _block(images: Images) -> Table:
    pixels = images.astype(np.float32)
    luma = pixels @ LUMA
    low, high = np.percentile(luma, (2, 98), axis=(1, 2))
    # Pictures too narrow for two blocks have no borders between them.
    steps = np.abs(np.diff(luma, axis=2)).mean(1) if luma.shape[2] >= 16 else np.zeros((len(luma), 16), np.float32)
    border = steps[:, 7::8].mean(1)
    details = []
    for lag in (1, 2, 4):
        step, difference = min(lag, luma.shape[1] - 1, luma.shape[2] - 1), np.zeros(len(luma), np.float32)
        if step > 0:
            across = np.abs(luma[:, :, step:] - luma[:, :, :-step]).mean((1, 2))
            difference = (across + np.abs(luma[:, step:] - luma[:, :-step]).mean((1, 2))) / 2
        details.append(np.log(difference + 0.1))
    columns = [
        *pixels.mean((1, 2)).T,
        *pixels.std((1, 2)).T,
        (images.max(-1) - images.min(-1)).mean((1, 2)),
        low,
        high,
        *details,
        ((images == 0) | (images == 255)).mean((1, 2, 3)),
        np.log((border + 0.5) / (steps.mean(1) + 0.5)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
