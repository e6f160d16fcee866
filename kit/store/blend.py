"""The parts of a blend and its decision as they are kept, with bounds on what others may have written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from kit.runtime import pool
from kit.runtime.decide import Decision
from kit.store.record import Part

# Far beyond what a fit gives (temperatures from .05 to 20), and so small that no power of a probability overflows,
# nor vanishes for all of 10,000 classes.
MAX_COEFFICIENT = 1e6
MIN_SUM = 1e-6

Weight = Annotated[float, Field(ge=0, le=1000)]
Coefficient = Annotated[float, Field(ge=-MAX_COEFFICIENT, le=MAX_COEFFICIENT)]
Probability = Annotated[float, Field(ge=0, le=1 + 1e-9)]  # a mean over views may round to just above 1
Temperature = Annotated[float, Field(ge=0.02, le=100)]


class PoolPart(Part):
    """One part of a blend; see `kit.runtime.pool`. M members, C classes, Q quantiles."""

    name: str = ""
    share: Weight
    temperatures: tuple[Temperature, ...]
    weights: tuple[Weight, ...]
    slopes: tuple[Coefficient, ...]
    centre: Coefficient
    bias: tuple[Coefficient, ...]
    class_slopes: tuple[tuple[tuple[Coefficient, ...], ...], ...] | None = None
    ranks: tuple[tuple[tuple[Probability, ...], ...], ...] | None = None

    def counts(self, member: int) -> bool:
        """Whether a member has any weight."""
        by_class = self.class_slopes[member] if self.class_slopes else ()
        return bool(self.weights[member] or self.slopes[member] or any(map(any, by_class)))

    def narrowed(self, members: Sequence[int]) -> PoolPart:
        """The part for a selection of members."""
        lists = {name: getattr(self, name) for name in ("temperatures", "weights", "slopes", "class_slopes", "ranks")}
        return self.model_copy(update={k: tuple(v[m] for m in members) if v else v for k, v in lists.items()})


class Pool(Part):
    """What `kit.runtime.pool.apply` is given: weights of the V views, and the parts."""

    views: tuple[Weight, ...]
    parts: tuple[PoolPart, ...] = Field(min_length=1, max_length=100)
    bias: tuple[Coefficient, ...] = ()
    several: bool | None = None

    def check(self, members: int, views: int, classes: int) -> None:
        """Raise ValueError where others describe what is not a blend of so many members, views and classes."""
        classes = 2 if self.several else classes
        lengths: list[tuple[str, Sequence[object], int]] = [("views", self.views, views)]
        lengths += [("bias", self.bias, classes)] if self.bias else []
        sums = [("views", self.views), ("shares", tuple(part.share for part in self.parts))]
        for part in self.parts:
            lengths.append(("bias", part.bias, classes))
            lengths += [("members", found, members) for found in (part.temperatures, part.weights, part.slopes)]
            if "class_slopes" in part.model_fields_set:
                slopes = part.class_slopes or ()
                lengths.append(("class_slopes", slopes, members))
                lengths += [("class_slopes", of, 1 if len(of) == 1 else classes) for of in slopes]
                lengths += [("class_slopes", row, classes) for of in slopes for row in of]
            if "ranks" in part.model_fields_set:
                ranks = part.ranks or ()
                tables = [table for member in ranks for table in member]
                lengths += [("ranks", ranks, members), *(("ranks", member, classes) for member in ranks)]
                lengths += [("ranks", table, max(2, len(tables[0]))) for table in tables]
                sums.append(("weights", part.weights))
                if any(low > high for table in tables for low, high in pairwise(table)):
                    raise ValueError("ranks: the quantiles are not increasing")
        for what, found, length in lengths:
            if len(found) != length or not length:
                raise ValueError(f"{what}: a list of length {len(found)}, expected {length}")
        for what, weights in sums:
            if sum(weights) < MIN_SUM:
                raise ValueError(f"{what}: all are 0")

    def plain(self) -> pool.Params:
        """Lists and numbers, as they travel in a bundle."""
        return cast("pool.Params", self.model_dump(mode="json", exclude_none=True))

    def apply(self, proba: Any) -> Any:
        """(N, C) probabilities from those of the members, (M, N, C) or (M, V, N, C)."""
        return pool.apply(self.plain(), proba)

    def used_members(self) -> list[int]:
        """Positions of the members that count at all."""
        return [m for m in range(len(self.parts[0].weights)) if any(part.counts(m) for part in self.parts)]

    def used_views(self) -> list[int]:
        """Positions of the views that count at all."""
        return [position for position, weight in enumerate(self.views) if weight]

    def narrowed(self) -> Pool:
        """The same blend for `used_members` and `used_views`."""
        members = self.used_members()
        views = tuple(self.views[view] for view in self.used_views())
        return self.model_copy(update={"views": views, "parts": tuple(part.narrowed(members) for part in self.parts)})


class Rule(Part):
    """What `kit.runtime.decide.decide` is given, where it is not the most probable class."""

    kind: Literal["gains", "costs", "best", "thresholds", "overlap", "mean", "median"]
    scale: tuple[Weight, ...] = ()
    offset: tuple[Coefficient, ...] = ()
    costs: tuple[tuple[Coefficient, ...], ...] = ()
    k: Annotated[int, Field(ge=0, le=1000)] = 0
    thresholds: tuple[Probability, ...] = ()
    values: tuple[Coefficient, ...] = ()

    @classmethod
    def of(cls, decision: Decision | None) -> Rule | None:
        """The rule of a decision, None for the most probable class."""
        return None if decision is None else cls.model_validate(decision)

    def plain(self) -> Decision:
        """Lists and numbers, as they travel in a bundle."""
        return cast("Decision", self.model_dump(mode="json", exclude_defaults=True))

    def check(self, classes: int) -> None:
        """Raise ValueError where others describe what is no decision over so many classes."""
        needs = {"gains": ("scale", "offset"), "costs": ("costs",), "thresholds": ("thresholds",)}
        for name in needs.get(self.kind, ("values",) if self.kind in ("mean", "median") else ()):
            if len(getattr(self, name)) != classes:
                raise ValueError(f"{name}: a list of length {len(getattr(self, name))}, expected {classes}")
        if self.kind == "costs" and {len(line) for line in self.costs} != {classes}:
            raise ValueError(f"costs: not {classes} x {classes} numbers")
        if self.kind == "best" and not self.k:
            raise ValueError("k: it is 0")
