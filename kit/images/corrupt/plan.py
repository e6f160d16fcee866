"""What `kit stress` does to held-out pictures: a mixture, a sample for every single corruption, and a seed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from kit.config import StressConfig
from kit.images.corrupt import MODULES, SEVERITIES, STANDARD, Images, corrupt
from kit.images.corrupt.mixture import Mixture, assign
from kit.store.files import sha256_json

SEPARATOR = "|"


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
    """The plan that the configuration describes; the name of a module stands for its families."""
    families = tuple(family for name in settings.families for family in MODULES.get(name, name).split())
    return StressPlan(**{**settings.model_dump(), "families": families or STANDARD})


def sampled(plan: StressPlan, ids: Sequence[str]) -> list[str]:
    """The ``plan.rows`` ids, or all, that every corruption is tried on, in the order given.

    Which ones depends on (seed, ids) alone; of two sets of ids that overlap the samples overlap.
    """
    ranked = sorted(ids, key=lambda name: hashlib.blake2b(f"sample:{plan.seed}:{name}".encode()).digest())
    chosen = set(ranked[: plan.rows])
    return [name for name in ids if name in chosen]


def grid_ids(plan: StressPlan, ids: Sequence[str]) -> list[str]:
    """What the pictures of `grid` are called: ``id|family|severity``."""
    cells = [(family, degree) for family in plan.families for degree in SEVERITIES]
    return [SEPARATOR.join((name, family, str(degree))) for family, degree in cells for name in ids]


def grid(plan: StressPlan, images: Images, ids: Sequence[str]) -> Iterator[Images]:
    """Every corruption of ``images`` (N, H, W, 3) in turn, in the order of `grid_ids`: N pictures at a time."""
    seeds = assign(plan, ids, plan.seed).seeds
    for family in plan.families:
        for degree in SEVERITIES:
            yield corrupt(images, family, degree, seeds)


def split(names: NDArray[np.str_]) -> tuple[list[str], NDArray[np.str_], NDArray[np.int64]]:
    """(ids, families, severities) of names that `grid_ids` made."""
    parts = [str(name).rsplit(SEPARATOR, 2) for name in names]
    return [part[0] for part in parts], np.array([part[1] for part in parts]), np.array([int(p[2]) for p in parts])
