"""A mixture of corruptions: which share of the pictures is hurt in which way, and how badly."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError
from kit.images.corrupt import SEVERITIES, STANDARD, Images, corrupt, lookup

CLEAN = "clean"
BLOCK = 256


@dataclass(frozen=True)
class Mixture:
    """Corruptions in equal shares, ``severities`` (5,) says how often each comes; a share stays ``clean``."""

    families: tuple[str, ...] = STANDARD
    severities: tuple[float, ...] = (1, 1, 1, 1, 1)
    clean: float = 0.2

    def check(self) -> None:
        """Raise `DataError` where a family is unknown or named twice."""
        for family in self.families:
            lookup(family)
            if self.families.count(family) > 1:
                raise DataError(f"mixture: the family {family} is listed twice")

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """(family, severity) of every share; the first is ("clean", 0)."""
        return ((CLEAN, 0), *((family, severity) for family in self.families for severity in SEVERITIES))

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) float64 that sum to one, in the order of `cells`."""
        total = sum(self.severities)
        each = [(1 - self.clean) / len(self.families) * weight / total for weight in self.severities]
        return np.array([self.clean, *each * len(self.families)])


@dataclass(frozen=True, eq=False)
class Assignment:
    """What happens to each of N pictures: ``family`` (N,) str, ``severity`` (N,) int8, ``seeds`` (N,) uint64."""

    family: NDArray[np.str_]
    severity: NDArray[np.int8]
    seeds: NDArray[np.uint64]


def assign(mixture: Mixture, ids: Sequence[str] | NDArray[np.str_], seed: int) -> Assignment:
    """Draw a cell of the mixture for every picture, from (seed, id) alone."""
    hashed = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest() for name in ids]
    drawn = np.frombuffer(b"".join(hashed), "<u8").astype(np.uint64).reshape(-1, 2)
    limits = np.cumsum(mixture.shares) / mixture.shares.sum()
    # 53 bits, as many as a float holds: the largest draw stays below 1.
    found = np.searchsorted(limits, (drawn[:, 0] >> np.uint64(11)) / 2.0**53, side="right")
    cell = np.minimum(found, np.flatnonzero(mixture.shares)[-1])
    families, severities = zip(*mixture.cells, strict=True)
    return Assignment(np.array(families)[cell], np.array(severities, np.int8)[cell], drawn[:, 1])


def apply(mixture: Mixture, images: Images, ids: Sequence[str] | NDArray[np.str_], seed: int) -> Images:
    """Corrupt every picture (N, H, W, 3) uint8 as `assign` says; its fate depends on (seed, id), not on its row.

    The images may be a memory map, and are read in blocks; the result is a new array.
    """
    if len(ids) != len(images):
        raise DataError(f"{len(ids)} ids for {len(images)} images")
    fate, made = assign(mixture, ids, seed), np.empty(images.shape, np.uint8)
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        family, severity, seeds = fate.family[block], fate.severity[block], fate.seeds[block]
        pixels = np.array(images[block])
        for name, degree in sorted({*zip(family.tolist(), severity.tolist(), strict=True)} - {(CLEAN, 0)}):
            rows = np.flatnonzero((family == name) & (severity == degree))
            pixels[rows] = corrupt(pixels[rows], name, degree, seeds[rows])
        made[block] = pixels
    return made
