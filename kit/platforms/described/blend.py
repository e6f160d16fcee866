"""Blends as zips describe them: numbers for which `kit.runtime.pool` gives probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from kit.store.record import Part

# Far beyond what a fit gives (temperatures from .05 to 20), and so small that no power of a probability overflows,
# nor vanishes for all of 10,000 classes.
MAX_COEFFICIENT = 1e6
MIN_SUM = 1e-6

Temperature = Annotated[float, Field(ge=0.02, le=100)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Coefficient = Annotated[float, Field(ge=-MAX_COEFFICIENT, le=MAX_COEFFICIENT)]
Probability = Annotated[float, Field(ge=0, le=1)]


class PartDescription(Part):
    """One part of a blend; see `kit.runtime.pool`."""

    name: str = ""
    share: Weight
    temperatures: tuple[Temperature, ...]
    weights: tuple[Weight, ...]
    slopes: tuple[Coefficient, ...]
    centre: Coefficient
    bias: tuple[Coefficient, ...]
    ranks: tuple[tuple[tuple[Probability, ...], ...], ...] = Field(default=(), min_length=1)

    @model_validator(mode="after")
    def _possible(self) -> PartDescription:
        if self.ranks and sum(self.weights) < MIN_SUM:
            raise ValueError("weights: all are 0")
        tables = [table for member in self.ranks for table in member]
        _check_lengths("ranks", tables, len(tables[0]) if tables else 0)
        if any(len(table) < 2 for table in tables):
            raise ValueError("ranks: a list of 1, expected at least 2")
        if any(low > high for table in tables for low, high in pairwise(table)):
            raise ValueError("ranks: the quantiles do not increase")
        return self


class BlendDescription(Part):
    """What `kit.runtime.pool.apply` is given."""

    views: tuple[Weight, ...]
    parts: tuple[PartDescription, ...] = Field(min_length=1, max_length=100)
    bias: tuple[Coefficient, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> BlendDescription:
        for what, weights in (("views", self.views), ("shares", [part.share for part in self.parts])):
            if sum(weights) < MIN_SUM:
                raise ValueError(f"{what}: all are 0")
        return self

    def check(self, members: int, views: int, classes: int) -> None:
        """Raise ValueError where this is not a blend of so many members, views and classes."""
        _check_lengths("views", [self.views], views)
        _check_lengths("bias", [self.bias] if self.bias else [], classes)
        for part in self.parts:
            _check_lengths("bias", [part.bias], classes)
            _check_lengths("members", [part.temperatures, part.weights, part.slopes], members)
            _check_lengths("ranks", [part.ranks] if part.ranks else [], members)
            _check_lengths("ranks", part.ranks, classes)


def _check_lengths(what: str, lists: Sequence[Sequence[object]], length: int) -> None:
    for found in lists:
        if len(found) != length or not length:
            raise ValueError(f"{what}: a list of {len(found)}, expected {length}")
