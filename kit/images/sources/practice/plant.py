"""What is wrong with the practice set on purpose, so that cleaning finds something, and its hidden test's camera."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kit.images.corrupt import Images, Pixels
from kit.images.corrupt.families import blurred, coloured, stretched
from kit.images.sources.practice.draws import CLASSES, DEGRADE, PLANT, SISTER, generator

Labels = NDArray[np.int64]

COPIES = ("exact", "dihedral", "recompressed", "cropped", "conflicting")
# The slide that sixty cells lie on: a row no data set reaches.
BACKGROUND_SCENE = 2**40


class Planted(NamedTuple):
    """One tampered row."""

    row: int
    kind: str  # a key of the counts in `plan_plants`
    of: int  # row of the original, -1 where the set has none; for a noisy label the class that the cell really has


def plan_plants(n: int, labels: Labels, seed: int) -> tuple[Planted, ...]:
    """Choose the tampered rows of a set of ``n``: about a sixth, each row once, originals left alone."""
    counts = {
        "exact": max(2, n // 50), "dihedral": max(2, n // 50), "recompressed": max(2, n // 65),
        "cropped": max(2, n // 65), "conflicting": max(2, n // 200),
        "foreign-all-labels": max(2 * len(CLASSES), 3 * n // 100), "foreign-one-label": max(10, n // 100),
        "background": min(60, n // 10), "noisy-label": n // 50,
    }  # fmt: skip
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    rows = generator(seed, PLANT, n).permutation(n)
    originals = iter(rows[len(kinds) :].tolist())
    return tuple(
        Planted(row, kind, next(originals) if kind in COPIES else int(labels[row]) if kind == "noisy-label" else -1)
        for kind, row in zip(kinds, rows.tolist(), strict=False)
    )


def tamper(
    images: Images, labels: Labels, planted: tuple[Planted, ...], seed: int, sister: tuple[int, ...] = SISTER
) -> None:
    """Write everything but the shared background (which is painted) into ``images`` and ``labels``.

    ``sister`` is what a noisy label is instead, by class.
    """
    size, classes = images.shape[1], len(sister)
    foreign = {"foreign-all-labels": _sunset(size), "foreign-one-label": _tiles(size)}
    for place, (row, kind, of) in enumerate(planted):
        rng = generator(seed, PLANT, len(images), row)
        if kind in COPIES:
            images[row], labels[row] = COPY[kind](images[of], rng) if kind in COPY else images[of], labels[of]
        if kind in foreign:
            images[row] = foreign[kind]
            labels[row] = place % classes if kind == "foreign-all-labels" else seed % classes
        if kind == "conflicting":
            labels[row] = (labels[of] + rng.integers(1, classes)) % classes
        if kind == "noisy-label":
            labels[row] = sister[of]


def _turned(image: Images, rng: np.random.Generator) -> Images:
    kind = int(rng.integers(1, 8))
    return np.rot90(image[:, ::-1] if kind >= 4 else image, kind % 4)


def _recompressed(image: Images, rng: np.random.Generator) -> Images:
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(60, 91)))
        return np.asarray(Image.open(file).convert("RGB"))


def _cropped(image: Images, rng: np.random.Generator) -> Images:
    """Cut 2 to 3 % off each side's length, anywhere, and enlarge the rest."""
    size = image.shape[0]
    cut = size * rng.uniform(0.02, 0.03)
    left, top = rng.uniform(0, cut, 2)
    box = (left, top, left + size - cut, top + size - cut)
    whole = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box)
    return np.array(whole, np.uint8)


COPY = {"dihedral": _turned, "recompressed": _recompressed, "cropped": _cropped}  # any other is the same pixels


def _sunset(size: int) -> Images:
    """No smear at all: a sun over the sea."""
    y, x = np.mgrid[:size, :size] / size
    sky = np.stack([230 - 60 * y, 110 + 100 * y, 100 + 50 * (1 - y)], -1)
    sky[(x - 0.62) ** 2 + (y - 0.42) ** 2 < 0.03] = (255, 236, 150)
    waves = 20 * np.sin(40 * y + 3 * np.sin(9 * x))
    sky[y > 0.6] = np.stack([30 + waves, 80 + waves, 120 + waves], -1)[y > 0.6]
    return sky.astype(np.uint8)


def _tiles(size: int) -> Images:
    """Nor this: a tiled floor."""
    y, x = np.mgrid[:size, :size] / size
    odd = (np.floor(5 * (x + 0.3 * y)) + np.floor(5 * (y - 0.3 * x))) % 2
    floor = np.stack([90 + 120 * odd, 100 + 90 * odd, 80 + 60 * odd], -1) + 30 * y[..., None]
    return np.asarray(floor, np.uint8)


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


CORRUPTIONS: dict[str, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    "clean": lambda pixels, severity, rng: pixels,
    "blur": lambda pixels, severity, rng: blurred(pixels, severity * pixels.shape[0] / 32),
    "brightness": lambda pixels, severity, rng: pixels + np.float32(rng.choice([-75, 45]) * severity),
    "contrast": lambda pixels, severity, rng: stretched(pixels, rng.choice([1 - 0.65 * severity, 1 + 0.8 * severity])),
    "noise": lambda pixels, severity, rng: (
        pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(32 * severity)
    ),
    "saturation": lambda pixels, severity, rng: coloured(pixels, rng.choice([1 - 0.9 * severity, 1 + severity])),
    "cast": lambda pixels, severity, rng: (
        pixels * (1 + np.float32(0.28 * severity) * rng.uniform(-1, 1, 3).astype(np.float32))
    ),
}
