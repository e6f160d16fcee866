"""The records of a candidate for submission: the blend and its members, its forecast, and the proof of its zip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from pydantic import Field

from kit.runtime import pool
from kit.runtime.backbones import Description
from kit.store.record import Figure, Made, Part

# Typed for those who read it; pydantic checks `typing.TypedDict` from Python 3.12 on only.
if TYPE_CHECKING:
    Network: TypeAlias = Description
else:
    Network = dict


class PoolPart(Part):
    """One part of a blend; see `kit.runtime.pool`. M members, C classes, Q quantiles."""

    name: str = ""
    share: float
    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    slopes: tuple[float, ...]
    centre: float
    bias: tuple[float, ...]
    ranks: tuple[tuple[tuple[float, ...], ...], ...] | None = None

    def narrowed(self, members: Sequence[int]) -> PoolPart:
        """The part for a selection of members."""
        names = ("temperatures", "weights", "slopes", "ranks")
        lists = {name: getattr(self, name) for name in names}
        return self.model_copy(update={k: tuple(v[m] for m in members) if v else v for k, v in lists.items()})


class Pool(Part):
    """What `kit.runtime.pool.apply` is given: weights of the V views, and the parts."""

    views: tuple[float, ...]
    parts: tuple[PoolPart, ...] = Field(min_length=1)
    bias: tuple[float, ...] = ()

    def plain(self) -> pool.Params:
        """Lists and numbers, as they travel in a bundle."""
        return cast("pool.Params", self.model_dump(mode="json", exclude_none=True))

    def apply(self, proba: Any) -> Any:
        """(N, C) probabilities from those of the members, (M, N, C) or (M, V, N, C)."""
        return pool.apply(self.plain(), proba)

    def used_members(self) -> list[int]:
        """Positions of the members that count at all."""
        members = range(len(self.parts[0].weights))
        return [m for m in members if any(part.weights[m] or part.slopes[m] for part in self.parts)]

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

    Attributes
    ----------
    method : str
        The candidates that make up the blend, the largest share first.
    weights : (M,)
        What part of the blend each member carries; at least 0, sum 1. A negative coefficient in a log-linear
        pool counts as nothing here, `params` has it.
    views : (V,)
        View weights on the simplex.
    temperatures : (M,)
        Temperature of each member alone, 1 for one that was dropped.
    gap, bound : float
        Largest duality gap of the convex weights: none are better by more than this many nats; the same for the
        log-linear coefficients.
    nested, stressed : Figure
        The score of the whole procedure on rows it was not fitted on, clean and stressed; the interval is over rows.
    optimism : float
        By how much the score on the fitted rows flatters: positive is better than `nested`, whatever the direction.
    member_worth, view_worth : (M,), (V,) of (gain, se)
        Mean log loss out of fold of the convex pool without the member, minus with it.
    notes : tuple of str
        What a reader has to know, in words.
    fit_on : str
        The rows that it was fitted on: clean, stressed, or mixture, which is both.
    """

    members: tuple[str, ...]
    view_names: tuple[str, ...]
    classes: tuple[str, ...]
    metric: str
    method: str
    weights: tuple[float, ...]
    views: tuple[float, ...]
    temperatures: tuple[float, ...]
    gap: float
    bound: float
    nested: Figure
    optimism: float
    candidates: dict[str, Considered]
    member_worth: tuple[tuple[float, float], ...]
    view_worth: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]
    params: Pool
    fit_on: str = "clean"
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


class Ensemble(Made):
    """``ensemble.json``: never written again once it is there."""

    VERSION: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int | None, ...]] = (1,)
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
        return {**{name: value for name, value in content.items() if name != "key"}, "made_from": {}}

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
    metric: str
    value: float
    low: float
    high: float
    level: float
    clean: float
    stressed: float
    basis: str
    past: int
    score: float | None = None
    error: float | None = None
    signals: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """Forecasts of earlier kits stay what was said at their time."""
        past = content.get("past", 0)
        kept = {name: value for name, value in content.items() if name != "key"}
        return {**kept, "past": past if isinstance(past, int) else len(past), "made_from": {}}


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
    COMMAND: ClassVar[str] = "kit bundle"

    sha256: str
    kit_absent: bool
    network: str
    network_removed: bool
    other_working_directory: bool
    probe_images: int
    difference: float
    difference_allowed: float
    accepted: tuple[str, ...]
    refused: dict[str, str]
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
        kept = {name: value for name, value in content.items() if name != "key"}
        return {**kept, "made_from": {}} if "sha256" in content else None
