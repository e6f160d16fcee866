"""The decision of a blend as it is kept, and the bounds of the numbers that a blend may have."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field

from kit.runtime.decide import Decision
from kit.store.record import Part

# Far beyond what a fit gives (temperatures from .05 to 20), and so small that no power of a probability overflows,
# nor vanishes for all of 10,000 classes.
MAX_COEFFICIENT = 1e6

Weight = Annotated[float, Field(ge=0, le=1000)]
Coefficient = Annotated[float, Field(ge=-MAX_COEFFICIENT, le=MAX_COEFFICIENT)]
Probability = Annotated[float, Field(ge=0, le=1 + 1e-9)]  # a mean over views may round to just above 1


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
