"""Pictures of any number of rows in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.images.sources.practice.draws import draw_cells, draw_scenes
from kit.images.sources.practice.paint import paint

# Rows painted at once: the layers of 20 cells of 64 px (3 MB) stay in a core's cache. Always whole blocks of the same
# rows, so that a row's bytes cannot depend on how many rows there are.
BLOCK = 20


def render(
    labels: NDArray[np.int64], scenes: NDArray[np.int64], size: int, seed: int, split: int, slides: range
) -> NDArray[np.uint8]:
    """Paint the cells of rows 0 to N - 1 with ``labels``: (N, size, size, 3) uint8.

    ``scenes`` (N,) says which surroundings each cell lies in, usually its own row; ``split`` is 0 for training and 1
    for the hidden test, which has other cells; ``slides`` were stained for this split.
    """
    images = np.empty((len(labels), size, size, 3), np.uint8)
    # Matrices this small gain nothing from threads, and on a busy machine waiting for them costs tenfold.
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(labels), BLOCK):
            rows = np.arange(start, start + BLOCK)
            held = np.minimum(rows, len(labels) - 1)
            cells, surroundings = draw_cells(seed, split, rows), draw_scenes(seed, split, scenes[held], size)
            block = paint(labels[held], cells, surroundings, size, seed, slides)
            images[start : start + BLOCK] = block[: len(labels) - start]
    return images
