"""What `kit stress` does to held-out pictures: a mixture of corruptions, and a sample for every single one."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import StressConfig
from kit.errors import DataError
from kit.images.corrupt import GROUPS, SEVERITIES, STANDARD, Images, corrupt, lookup
from kit.store.files import sha256_json

SEPARATOR = "|"
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


@dataclass(frozen=True, kw_only=True)
class StressPlan(Mixture):
    """Everything that decides which pictures come out; every family and severity is tried on a sample of ``rows``."""

    rows: int
    seed: int

    @property
    def key(self) -> str:
        """A hash of all of it."""
        return sha256_json(asdict(self))


def plan_of(settings: StressConfig) -> StressPlan:
    """The plan that the configuration describes; the name of a group stands for its families."""
    families = tuple(family for name in settings.families for family in GROUPS.get(name, name).split())
    return StressPlan(**{**settings.model_dump(), "families": families or STANDARD})


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


def sampled(plan: StressPlan, ids: Sequence[str]) -> list[str]:
    """The ``plan.rows`` ids, or all, that every corruption is tried on, in the order given.

    Which ones depends on (seed, ids) alone; of two sets of ids that overlap the samples overlap.
    """
    ranked = sorted(ids, key=lambda name: hashlib.blake2b(f"sample:{plan.seed}:{name}".encode()).digest())
    chosen = set(ranked[: plan.rows])
    return [name for name in ids if name in chosen]


def grid_ids(plan: StressPlan, ids: Sequence[str]) -> list[str]:
    """What the pictures of `grid` are called: ``id|family|severity``."""
    return [SEPARATOR.join((name, family, str(degree))) for family, degree in plan.cells[1:] for name in ids]


def grid(plan: StressPlan, images: Images, ids: Sequence[str]) -> Iterator[Images]:
    """Every corruption of ``images`` (N, H, W, 3) in turn, in the order of `grid_ids`: N pictures at a time."""
    seeds = assign(plan, ids, plan.seed).seeds
    for family, degree in plan.cells[1:]:
        yield corrupt(images, family, degree, seeds)


def split(names: NDArray[np.str_]) -> tuple[list[str], NDArray[np.str_], NDArray[np.int64]]:
    """(ids, families, severities) of names that `grid_ids` made."""
    parts = [str(name).rsplit(SEPARATOR, 2) for name in names]
    return [part[0] for part in parts], np.array([part[1] for part in parts]), np.array([int(p[2]) for p in parts])
