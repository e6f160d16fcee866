"""What `kit.blend.fit` returns: a fitted ensemble, JSON both ways."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from kit.blend.types import Array
from kit.runtime import pool

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Nested:
    """The score of the whole procedure on rows it was not fitted on, with a bootstrap 95 % interval over rows."""

    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """Out-of-fold score of a candidate, the standard error of its difference to the plain mean, its share."""

    score: float
    se: float
    share: float


@dataclass(frozen=True)
class Blend:
    """A fitted ensemble. Written by `fit`, read from JSON by `from_json`.

    Attributes
    ----------
    members, view_names, classes : tuples of str
    metric : str
    method : str
        The candidates that make up the blend, the largest share first.
    weights : (M,) tuple
        What part of the blend each member carries; at least 0, sum 1. A negative coefficient in a log-linear
        pool counts as nothing here, `params` has it.
    views : (V,) tuple
        View weights on the simplex.
    temperatures : (M,) tuple
        Temperature of each member alone, 1 for one that was dropped.
    gap : float
        Largest duality gap of the convex weights: none are better by more than this many nats.
    bound : float
        The same for the log-linear coefficients.
    nested : Nested
    optimism : float
        By how much the score on the fitted rows flatters: positive is better than `nested`, whatever the direction.
    candidates : dict of Candidate
    member_worth : (M,) tuple of (gain, se)
        Mean log loss out of fold of the convex pool without the member, minus with it.
    view_worth : (V,) tuple of (gain, se)
    notes : tuple of str
        What a reader has to know, in words.
    params : dict
        For `kit.runtime.pool.apply`.
    fit_on : str
        The rows that it was fitted on: clean, stressed, or mixture, which is both.
    stressed : Nested or None
        As `nested`, on the stressed rows.
    oof, stressed_oof : (N, C) arrays or None
        The nested predictions that `nested` and `stressed` score; not part of the JSON.
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
    nested: Nested
    optimism: float
    candidates: dict[str, Candidate]
    member_worth: tuple[tuple[float, float], ...]
    view_worth: tuple[tuple[float, float], ...]
    notes: tuple[str, ...]
    params: pool.Params
    fit_on: str = "clean"
    stressed: Nested | None = None
    oof: Array | None = field(default=None, compare=False, repr=False)
    stressed_oof: Array | None = field(default=None, compare=False, repr=False)

    def apply(self, proba: Array) -> Array:
        """Return (N, C) probabilities from (M, N, C) or (M, V, N, C), members and views in the fitted order."""
        result: Array = pool.apply(self.params, proba)
        return result

    def to_json(self) -> str:
        """Return the blend as JSON text, without `oof` and `stressed_oof`."""
        fields = asdict(self)
        del fields["oof"], fields["stressed_oof"]
        return json.dumps(fields, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Blend:
        """Return the blend that `to_json` wrote."""
        fields = json.loads(text)
        for name in ("members", "view_names", "classes", "weights", "views", "temperatures", "notes"):
            fields[name] = tuple(fields[name])
        for name in ("member_worth", "view_worth"):
            fields[name] = tuple(tuple(pair) for pair in fields[name])
        fields["nested"] = Nested(**fields["nested"])
        fields["stressed"] = Nested(**fields["stressed"]) if fields.get("stressed") else None
        fields["candidates"] = {name: Candidate(**c) for name, c in fields["candidates"].items()}
        return cls(**fields)
