"""The records of a candidate for submission: the blend and its members, its forecast, and the proof of its zip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from kit.runtime.answer import Described
from kit.runtime.backbones import Description
from kit.runtime.decide import decide
from kit.store.blend import Pool, Rule
from kit.store.data import UnlabelledRecord
from kit.store.record import Figure, Made, Part

# Typed for those who read it; pydantic checks `typing.TypedDict` from Python 3.12 on only.
if TYPE_CHECKING:
    Network: TypeAlias = Description
else:
    Network = dict


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
    decision: Rule | None = None  # None: the most probable class
    decision_worth: tuple[float, float] | None = None  # what it gains on the metric out of fold, and its error

    @property
    def worth_of_decision(self) -> str:
        """What the decision gains out of fold, in words; empty where the metric leaves nothing to decide."""
        if self.decision_worth is None:
            return ""
        plain = "labels above one half" if self.params.several else "the most probable class"
        gain, error = self.decision_worth
        worth = f"worth {gain:+.4f} over {plain} (standard error {error:.4f})"
        if self.decision is None or set(self.decision.thresholds) == {0.5}:
            return (
                f"answers are {plain}: no rule for {self.metric} is kept, as what is fitted to other folds is {worth}"
            )
        return f"answers are made for {self.metric}: {worth}"

    def answer(self, proba: Any) -> Any:
        """What is decided of the blend's probabilities (N, C), see `kit.runtime.decide.decide`."""
        return decide(self.decision.plain() if self.decision else None, proba)

    def described(self) -> Described:
        """The classes, the blend and the decision as ``bundle.json`` has them."""
        found: Described = {"classes": self.classes, "blend": self.params.plain()}
        return {**found, "decision": self.decision.plain()} if self.decision else found

    def decide(self, proba: Any) -> Any:
        """The answers (N,), (N, k) or (N, L) from what `apply` takes."""
        return self.answer(self.apply(proba))

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

    VERSION: ClassVar[int] = 4
    OLDER: ClassVar[tuple[int | None, ...]] = (1, 2, 3)
    COMMAND: ClassVar[str] = "kit ensemble"

    metric: str
    cv: Figure
    stressed: Figure | None = None
    decided: tuple[float, float] | None = None  # `StoredBlend.decision_worth`
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
        """The first of these inputs that was another one when this was made, or empty; earlier kits do not say it."""
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

    VERSION: ClassVar[int] = 2  # 1: with other estimates beside it
    OLDER: ClassVar[tuple[int | None, ...]] = (None, 1)
    COMMAND: ClassVar[str] = "kit forecast"

    name: str
    kind: str
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
        known = {name: value for name, value in content.items() if name != "signals"}
        past = known.get("past", 0)
        known["past"] = past if isinstance(past, int) else len(past)
        return known if "made_from" in known else _made_from_nothing(known)


class HalfRecord(Part):
    """Scores of a blend on the same held-out rows with float16 and float32 weights, and its ``probe`` (P, C)."""

    score: float
    score_float32: float
    rows: int
    largest_change: float  # of a probability on those rows
    probe: tuple[tuple[float, ...], ...]  # what the bundle has to say of the probe images


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
