"""What the white cells look like, and random numbers: each picture has its own stream, in any order of rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "band_neutrophil", "basophil", "eosinophil", "erythroblast", "immature_granulocyte", "lymphocyte", "monocyte",
    "segmented_neutrophil",
)  # fmt: skip

# Cells of each class per hundred: as many segmented neutrophils to a basophil in training as 24 to 5.
TRAIN_SHARES = (12, 5, 15, 7, 8, 19, 10, 24)
# The hidden test's clinic sees other patients.
TEST_SHARES = (16, 10, 9, 14, 17, 10, 13, 11)

# The class a tired expert would write instead.
SISTER = (7, 4, 7, 5, 6, 3, 4, 0)

# One row a trait: the mean of each class, in the order of `CLASSES`, and the standard deviation within a class
# with the limits that keep a cell drawable. Lengths are in cell radii, the cell's radius in half image widths.
_TABLE: dict[str, tuple[tuple[float, ...], float, float, float]] = {
    #                  band  baso  eosi  eryt  imma  lymp  mono  segm     sd    low   high
    "radius":        ((0.57, 0.55, 0.59, 0.46, 0.63, 0.48, 0.67, 0.57), 0.045, 0.34, 0.80),
    "nucleus_width": ((0.29, 0.36, 0.29, 0.50, 0.50, 0.67, 0.43, 0.27), 0.035, 0.18, 0.80),
    "nucleus_length":((1.30, 0.95, 1.10, 0.12, 0.50, 0.18, 0.80, 1.65), 0.150, 0.04, 2.00),
    "bend":          ((2.70, 1.60, 1.50, 0.60, 1.30, 0.80, 1.90, 3.00), 0.600, 0.10, 4.40),
    "lobes":         ((3.00, 2.40, 2.00, 1.00, 1.50, 1.00, 2.00, 3.40), 0.500, 1.00, 5.00),
    "lobing":        ((0.10, 0.45, 0.74, 0.00, 0.08, 0.00, 0.18, 0.88), 0.090, 0.00, 0.95),
    "nucleus_stain": ((0.80, 0.85, 0.85, 1.28, 0.82, 1.00, 0.76, 1.06), 0.090, 0.45, 1.60),
    "chromatin":     ((0.16, 0.12, 0.14, 0.14, 0.17, 0.12, 0.22, 0.17), 0.035, 0.02, 0.40),
    "eccentricity":  ((0.10, 0.08, 0.12, 0.14, 0.20, 0.12, 0.12, 0.08), 0.060, 0.00, 0.40),
    "cytoplasm":     ((0.75, 0.80, 0.75, 0.85, 1.00, 0.95, 0.95, 0.75), 0.150, 0.30, 1.60),
    "blue":          ((0.22, 0.35, 0.12, 0.38, 0.50, 0.75, 0.62, 0.10), 0.120, 0.00, 1.00),
    "granules":      ((0.34, 0.85, 0.90, 0.05, 0.60, 0.06, 0.20, 0.38), 0.150, 0.00, 1.20),
    "coarseness":    ((0.25, 0.90, 0.85, 0.30, 0.55, 0.30, 0.20, 0.25), 0.120, 0.00, 1.00),
    "orange":        ((0.10, 0.05, 0.85, 0.10, 0.12, 0.10, 0.10, 0.10), 0.140, 0.00, 1.00),
    "dark":          ((0.10, 0.85, 0.12, 0.15, 0.48, 0.12, 0.08, 0.12), 0.130, 0.00, 1.00),
    "covering":      ((0.05, 0.70, 0.10, 0.00, 0.25, 0.00, 0.02, 0.05), 0.120, 0.00, 1.00),
    "vacuoles":      ((0.10, 0.10, 0.08, 0.03, 0.12, 0.05, 0.30, 0.10), 0.080, 0.00, 0.60),
    "ruffle":        ((0.05, 0.06, 0.05, 0.04, 0.07, 0.05, 0.12, 0.05), 0.030, 0.00, 0.25),
}  # fmt: skip

TRAITS = tuple(_TABLE)
MEAN = np.array([row[0] for row in _TABLE.values()]).T  # (8, traits)
SPREAD, LOW, HIGH = (np.array([row[k] for row in _TABLE.values()]) for k in (1, 2, 3))

# Of the graded variant: how many granules lie in the cell, as an observer sees it who is not always right.
GRADES, GRADED, OBSERVED = ("0", "1", "2", "3", "4"), "granules", 0.05
CUTS = (0.15, 0.35, 0.60, 0.85)
NEXT_GRADE = (1, 2, 3, 4, 3)


def express(labels: np.ndarray, deviations: np.ndarray) -> dict[str, np.ndarray]:
    """Turn standard normal ``deviations`` (B, traits) of cells with ``labels`` (B,) into traits of (B,)."""
    values = np.clip(MEAN[labels] + SPREAD * deviations, LOW, HIGH).astype(np.float32)
    return {name: values[:, k] for k, name in enumerate(TRAITS)}


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
