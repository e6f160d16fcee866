"""A mixture of corruptions: which share of the pictures is hurt in which way, and how badly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError
from kit.images.corrupt import FAMILIES, SEVERITIES, Images, corrupt, lookup

CLEAN = "clean"
BLOCK = 256


@dataclass(frozen=True)
class Mixture:
    """Shares that sum to one: of pictures that nothing happens to, and of every severity (5,) of every family.

    Raises `DataError` if a family is unknown or named twice, a share is negative, or the shares do not sum to one.
    """

    clean: float
    parts: tuple[tuple[str, tuple[float, ...]], ...]

    def __post_init__(self) -> None:
        for family, shares in self.parts:
            lookup(family)
            if len(shares) != len(SEVERITIES):
                raise DataError(f"mixture: {family} has {len(shares)} shares, not one for each of 5 severities")
        if len({family for family, _ in self.parts}) < len(self.parts):
            raise DataError("mixture: a family is named twice")
        if not np.all(self.shares >= 0) or abs(self.shares.sum() - 1) > 1e-6:
            raise DataError(f"mixture: shares sum to {self.shares.sum():.6g}, or one is negative", "they must sum to 1")

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """(family, severity) of every share; the first is ("clean", 0)."""
        return ((CLEAN, 0), *((family, severity) for family, _ in self.parts for severity in SEVERITIES))

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K,) float64, in the order of `cells`."""
        return np.array([self.clean, *(share for _, shares in self.parts for share in shares)])


def even(
    families: Iterable[str] = tuple(FAMILIES), clean: float = 0.2, weights: Sequence[float] = (1, 1, 1, 1, 1)
) -> Mixture:
    """Equal shares for the families; ``weights`` (5,) says how often which severity comes."""
    names, total = tuple(families), sum(weights)
    shares = tuple((1 - clean) / len(names) * weight / total for weight in weights)
    return Mixture(clean, tuple((name, shares) for name in names))


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


def apply(
    mixture: Mixture, images: Images, ids: Sequence[str] | NDArray[np.str_], seed: int, out: Images | None = None
) -> Images:
    """Corrupt every picture (N, H, W, 3) uint8 as `assign` says; its fate depends on (seed, id), not on its row.

    The images may be a memory map, and are read in blocks. They are written to ``out`` where it is given, a memory map
    for instance, else to a new array; that is what is returned.
    """
    if len(ids) != len(images):
        raise DataError(f"{len(ids)} ids for {len(images)} images")
    fate = assign(mixture, ids, seed)
    made = np.empty(images.shape, np.uint8) if out is None else out
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        family, severity, seeds = fate.family[block], fate.severity[block], fate.seeds[block]
        pixels = np.array(images[block])
        for name, degree in sorted({*zip(family.tolist(), severity.tolist(), strict=True)} - {(CLEAN, 0)}):
            rows = np.flatnonzero((family == name) & (severity == degree))
            pixels[rows] = corrupt(pixels[rows], name, degree, seeds[rows])
        made[block] = pixels
    return made
