"""What `kit.blend.fit` returns: a fitted ensemble, and what it predicts out of fold."""

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
    """A fitted ensemble, as `fit` returns it; what is read from the disk is `kit.store.candidate.StoredBlend`.

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
    oof : (N, C) array
        The nested predictions that `nested` scores.
    stressed_oof : (N, C) array or None
        The same of the stressed rows, which `stressed` scores.
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
    oof: Array = field(kw_only=True, compare=False, repr=False)
    stressed_oof: Array | None = field(default=None, kw_only=True, compare=False, repr=False)

    def apply(self, proba: Array) -> Array:
        """Return (N, C) probabilities from (M, N, C) or (M, V, N, C), members and views in the fitted order."""
        result: Array = pool.apply(self.params, proba)
        return result

    def to_json(self) -> str:
        """Return what is kept on the disk as JSON text: all but `oof` and `stressed_oof`."""
        fields = asdict(self)
        del fields["oof"], fields["stressed_oof"]
        return json.dumps(fields, indent=1, allow_nan=False)
