"""Random numbers: each picture has its own stream, so that rows can be made in any order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.images.sources.practice.traits import CUTS, GRADED, OBSERVED, TRAITS, express

# Streams under one seed; a row's own generator is (seed, stream, row).
LABELS, CELL, SCENE, SLIDE, PLANT, DEGRADE = range(6)

# A few more than `paint` uses, so that one more trait does not change every picture's textures.
SCENE_NUMBERS = 48
CELL_NUMBERS = 40
OBSERVER = 2**40  # a block of rows that no data set reaches
COARSE, FINE, SMOOTH = 36, 60, 7  # knots of the random textures along an image's side


def generator(seed: int, *path: int) -> np.random.Generator:
    """The generator that belongs to ``path`` under ``seed``, independent of every other path's."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *path])))


def labels_of(rows: NDArray[np.int64], shares: tuple[int, ...], seed: int, split: int) -> NDArray[np.int64]:
    """Draw labels of rows: every hundred rows hold exactly ``shares`` (which sum to 100), shuffled."""
    hundred = np.repeat(np.arange(len(shares)), shares)
    blocks = range(int(rows.min()) // 100, int(rows.max()) // 100 + 1)
    shuffled = np.stack([generator(seed, LABELS, split, block).permutation(hundred) for block in blocks])
    return shuffled[rows // 100 - blocks.start, rows % 100].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Cells:
    """Draws of B white cells: ``uniform`` (B, CELL_NUMBERS), ``normal`` (B, traits) and textures."""

    uniform: NDArray[np.float32]
    normal: NDArray[np.float32]
    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    smooth: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scenes:
    """Draws of B surroundings: ``uniform`` (B, SCENE_NUMBERS) and sensor noise (B, 3, size * size)."""

    uniform: NDArray[np.float32]
    noise: NDArray[np.float32]


def draw_cells(seed: int, split: int, rows: NDArray[np.int64]) -> Cells:
    """Draw what the cells in the middle of ``rows`` need."""
    parts = zip(*(_cell(generator(seed, CELL, split, row)) for row in rows.tolist()), strict=True)
    return Cells(*(np.stack(part) for part in parts))


def grades_of(labels: NDArray[np.int64], seed: int, split: int) -> NDArray[np.int64]:
    """The grades of the cells of rows 0, 1 ... of ``labels`` (N,), by the trait `GRADED`."""
    normal = np.stack([_cell(generator(seed, CELL, split, row))[1] for row in range(len(labels))])
    noise = generator(seed, LABELS, split, OBSERVER).normal(0, OBSERVED, len(labels))
    return np.digitize(express(labels, normal)[GRADED] + noise, CUTS)


def _cell(rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape, dtype=np.float32)

    uniform = rng.random(CELL_NUMBERS, dtype=np.float32)
    return (uniform, normal(len(TRAITS)), normal(2, COARSE, COARSE), normal(FINE, FINE), normal(2, SMOOTH, SMOOTH))


def draw_scenes(seed: int, split: int, rows: NDArray[np.int64], size: int) -> Scenes:
    """Draw what the surroundings of ``rows`` need."""
    uniform = np.empty((len(rows), SCENE_NUMBERS), np.float32)
    noise = np.empty((len(rows), 3, size * size), np.float32)
    for place, row in enumerate(rows.tolist()):
        rng = generator(seed, SCENE, split, row)
        rng.random(out=uniform[place], dtype=np.float32)
        colour = np.frombuffer(rng.bytes(noise[place].size), np.uint8).reshape(3, -1)
        noise[place] = rng.standard_normal(size * size, dtype=np.float32)
        noise[place] += colour * np.float32(1 / 64) - np.float32(2)
    return Scenes(uniform, noise)


@dataclass
class Dice:
    """Hands out the columns of a (B, K) table of uniform numbers one after the other."""

    table: NDArray[np.float32]
    used: int = 0

    def between(self, low: float, high: float, count: int = 1) -> NDArray[np.float32]:
        """The next ``count`` columns, scaled to [low, high): (B, count)."""
        columns = self.table[:, self.used : self.used + count]
        if columns.shape[1] < count:
            raise IndexError(f"{self.used + count} numbers wanted, {self.table.shape[1]} drawn")
        self.used += count
        return np.float32(low) + np.float32(high - low) * columns
