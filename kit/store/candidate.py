"""The records of a candidate for submission: the blend and its members, its forecast, and the proof of its zip."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, cast

from pydantic import Field

from kit.runtime import pool
from kit.runtime.backbones import Description
from kit.store.data import UnlabelledRecord
from kit.store.record import Figure, Made, Part

# Typed for those who read it; pydantic checks `typing.TypedDict` from Python 3.12 on only.
if TYPE_CHECKING:
    Network: TypeAlias = Description
else:
    Network = dict

# Far beyond what a fit gives (temperatures from .05 to 20); no power of 10,000 probabilities overflows or vanishes.
MAX_COEFFICIENT = 1e6
MIN_SUM = 1e-6

Temperature = Annotated[float, Field(ge=0.02, le=100)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Coefficient = Annotated[float, Field(ge=-MAX_COEFFICIENT, le=MAX_COEFFICIENT)]
Probability = Annotated[float, Field(ge=0, le=1 + 1e-9)]  # a mean over views may round to just above 1


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
        lists = {k: getattr(self, k) for k in ("temperatures", "weights", "slopes", "class_slopes", "ranks")}
        return self.model_copy(update={k: tuple(v[m] for m in members) if v else v for k, v in lists.items()})


class Pool(Part):
    """What `kit.runtime.pool.apply` is given: weights of the V views, and the parts."""

    views: tuple[Weight, ...]
    parts: tuple[PoolPart, ...] = Field(min_length=1, max_length=100)
    bias: tuple[Coefficient, ...] = ()

    def check(self, members: int, views: int, classes: int) -> None:
        """Raise ValueError where others describe what is not a blend of so many members, views and classes."""
        lengths: list[tuple[str, Sequence[object], int]] = [("views", self.views, views)]
        lengths += [("bias", self.bias, classes)] if self.bias else []
        sums: list[tuple[str, Sequence[float]]] = [("views", self.views)]
        sums.append(("shares", [part.share for part in self.parts]))
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
        members = range(len(self.parts[0].weights))
        return [m for m in members if any(part.counts(m) for part in self.parts)]

    def used_views(self) -> list[int]:
        """Positions of the views that count at all."""
        return [position for position, weight in enumerate(self.views) if weight]

    def narrowed(self) -> Pool:
        """The same blend for `used_members` and `used_views`."""
        members = self.used_members()
        views = tuple(self.views[view] for view in self.used_views())
        return self.model_copy(update={"views": views, "parts": tuple(part.narrowed(members) for part in self.parts)})


class Considered(Part):
    """A candidate of the blend: its score out of fold, the error of its difference to the plain mean, its share."""

    score: float
    se: float
    share: float


class StoredBlend(Part):
    """A fitted blend as it is kept; `kit.judge.blend.Blend` has its predictions as well.

    ``weights`` (M,) are what part of the blend each member carries: at least 0, sum 1. A negative coefficient in a
    log-linear pool counts as nothing there, ``params`` has it. ``nested`` and ``stressed`` are scores of the whole
    procedure on rows it was not fitted on, clean and stressed; the interval is over rows. ``member_worth`` (M,) and
    ``view_worth`` (V,) of (gain, se) are the mean log loss out of fold of the convex pool without it, minus with it.
    """

    members: tuple[str, ...]
    view_names: tuple[str, ...]
    classes: tuple[str, ...]
    metric: str
    method: str  # the candidates that make up the blend, the largest share first
    weights: tuple[float, ...]
    views: tuple[float, ...]  # (V,) weights on the simplex
    temperatures: tuple[float, ...]  # (M,) of each member alone, 1 for one that was dropped
    gap: float  # largest duality gap: no convex weights are better by more than this many nats
    bound: float  # the same for the log-linear coefficients
    nested: Figure
    optimism: float  # how much the score on the fitted rows flatters: positive is better, whatever the direction
    candidates: dict[str, Considered]
    member_worth: tuple[tuple[float, float], ...]
    view_worth: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]  # what a reader has to know, in words
    params: Pool
    fit_on: str = "clean"  # the rows that it was fitted on: clean, stressed, or mixture, which is both
    stressed: Figure | None = None

    def apply(self, proba: Any) -> Any:
        """(N, C) probabilities from those of the members, (M, N, C) or (M, V, N, C), in the fitted order."""
        return self.params.apply(proba)


class Member(Part):
    """A run of a blend: its folder under ``runs/``, its network, and digests of what it predicted and with what."""

    run: str
    folder: str
    folds: int
    network: Network
    oof: str
    weights: tuple[str, ...] = ()


def _made_from_nothing(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a record of earlier kits, whose one ``key`` says nothing of what they would be made from now."""
    return {**{name: value for name, value in content.items() if name != "key"}, "made_from": {}}


class Ensemble(Made):
    """``ensemble.json``: never written again once it is there."""

    VERSION: ClassVar[int] = 3
    OLDER: ClassVar[tuple[int | None, ...]] = (1, 2)
    COMMAND: ClassVar[str] = "kit ensemble"

    metric: str
    cv: Figure
    stressed: Figure | None = None
    fit_on: str = "clean"
    rows: int = 0
    classes: tuple[str, ...]
    views: tuple[str, ...]
    members: tuple[Member, ...]
    blend: StoredBlend

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """Candidates of earlier kits keep their scores on the board; nothing new is made from them."""
        return content if "made_from" in content else _made_from_nothing(content)

    def other(self, **now: str) -> str:
        """The first of these inputs that was another one when this was made, or empty.

        Candidates of earlier kits do not say what they were made from: nothing is known to be other.
        """
        return next((name for name, value in now.items() if self.made_from.get(name, value) != value), "")

    @property
    def used_members(self) -> list[Member]:
        """The members that the blend uses at all."""
        return [self.members[position] for position in self.blend.params.used_members()]

    @property
    def used_views(self) -> list[str]:
        """The views that the blend uses at all."""
        return [self.views[position] for position in self.blend.params.used_views()]


class ForecastRecord(Made):
    """``forecast.json``: the score to expect of a run or a candidate, made without the score itself."""

    OLDER: ClassVar[tuple[int | None, ...]] = (None,)
    COMMAND: ClassVar[str] = "kit forecast"

    name: str
    kind: str
    signals: dict[str, float] = Field(default_factory=dict)
    metric: str
    value: float
    low: float
    high: float
    level: float
    score: float | None = None
    error: float | None = None
    clean: float
    stressed: float
    basis: str
    past: int
    cases: tuple[tuple[float, float, float, float], ...] = ()  # those of `kit.judge.shift.forecast.Forecast`
    wrong_labels: tuple[float, float] = (0.0, 0.0)  # share among the held-out rows, and its standard error

    def is_of(self, test: UnlabelledRecord | None) -> bool:
        """Whether it was made for these test images; forecasts of earlier kits do not say it."""
        present = test.images if test else ""
        return self.made_from.get("test", present) == present

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """Forecasts of earlier kits stay what was said at their time."""
        past = content.get("past", 0)
        return {**_made_from_nothing(content), "past": past if isinstance(past, int) else len(past)}


class HalfRecord(Part):
    """What the blend says with float16 weights; ``probe`` (P, C) is what the bundle has to say of the probe images.

    Both scores are of the same blend on the same held-out rows; ``largest_change`` is of a probability on those rows.
    """

    score: float
    score_float32: float
    rows: int
    largest_change: float
    probe: tuple[tuple[float, ...], ...]


class Limits(Part):
    """What ``[bundle]`` allows, and the seconds that its ``images`` images take."""

    images: int
    seconds: float
    max_seconds: float | None
    max_memory_mb: float | None
    max_mb: float | None


class Proof(Made):
    """``proof.json``, written last: the zip ran, and how."""

    OLDER: ClassVar[tuple[int | None, ...]] = (None,)
    COMMAND: ClassVar[str] = "kit bundle --force"  # without it a damaged proof is left as it is

    sha256: str
    kit_absent: bool
    network: str
    network_removed: bool
    other_working_directory: bool
    accepted: tuple[str, ...]
    refused: dict[str, str]
    probe_images: int
    difference: float
    difference_allowed: float
    load_seconds: float
    images: int
    predict_seconds: float
    peak_mb: float
    zip_mb: float
    limits: Limits
    float16: HalfRecord | None
    versions: dict[str, str]

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """A zip that an earlier kit has proven stays proven; a fresh proof is another matter."""
        return _made_from_nothing(content) if "sha256" in content else None
