"""The fitted blend, and the way from out-of-fold predictions to it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kit import metrics, score
from kit.blend import candidates as table
from kit.blend.check import Data, check
from kit.blend.choose import shares
from kit.blend.duplicates import find_duplicates
from kit.blend.folds import fold_groups
from kit.blend.nested import Crossed, cross
from kit.blend.notes import notes
from kit.blend.options import Options
from kit.blend.procedure import Fit, Procedure
from kit.blend.types import Array, Part
from kit.blend.worth import member_worth, view_worth
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
    oof : (N, C) array or None
        The nested predictions that `nested` scores; not part of the JSON.
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
    params: dict[str, Any]
    oof: Array | None = field(default=None, compare=False, repr=False)

    def apply(self, proba: Array) -> Array:
        """Return (N, C) probabilities from (M, N, C) or (M, V, N, C), members and views in the fitted order."""
        result: Array = pool.apply(self.params, proba)
        return result

    def to_json(self) -> str:
        """Return the blend as JSON text, without `oof`."""
        fields = asdict(self)
        del fields["oof"]
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
        fields["candidates"] = {name: Candidate(**c) for name, c in fields["candidates"].items()}
        return cls(**fields)


def fit(
    proba: Array, y: Array, fold: Array, *, metric: str = "nll", seed: int = 0, options: Options | None = None
) -> Blend:
    """Fit the blend and its honest score on out-of-fold predictions.

    Parameters
    ----------
    proba : (M, N, C) or (M, V, N, C) array
        Out-of-fold probabilities of M members (under V views, the first the identity), any floating type.
    y : (N,) class indices
    fold : (N,) array
        Fold of each row, as the members were trained. Rows that belong together must share it.
    metric : str
        A key of `kit.score.METRICS`.
    seed : int
    options : Options, optional
        Names, limits and costs.

    Returns
    -------
    Blend

    Raises
    ------
    kit.errors.DataError
        The predictions cannot be blended; names member and row.

    Notes
    -----
    Deterministic. Permuting members permutes the weights; the order of rows and classes does not matter; an exact copy
    of a member changes nothing; a single member gets the weight 1.
    """
    score.lookup(metric)
    options = options or Options()
    data = check(proba, y, fold, options)
    copies = find_duplicates(data.proba)
    originals = np.array([m for m in range(len(data.members)) if m not in copies])
    return _Fitting(data, originals, copies, metric, seed, options).blend()


class _Fitting:
    """The steps of `fit`, in the order in which `blend` takes them."""

    def __init__(
        self, data: Data, originals: Array, copies: dict[int, int], metric: str, seed: int, options: Options
    ) -> None:
        self.data, self.originals, self.copies = data, originals, copies
        self.metric, self.seed = metric, seed
        proba = data.proba if not copies else data.proba[originals]
        mean = np.stack([member[0] for member in proba]).mean(axis=0, dtype=np.float64)
        self.group = fold_groups(data.fold, metrics.row_nll(data.y, mean))
        self.candidates = table.candidates(metric, len(originals))
        self.names = list(self.candidates)
        chosen = options.only(originals.tolist())
        self.procedure = Procedure(proba, data.y, self.group, self.candidates, chosen)

    def blend(self) -> Blend:
        everything = np.ones(len(self.data.y), dtype=bool)
        warm: dict[str, Array] = {}
        fitted = self.procedure.fit(everything, warm)
        crossed = self._cross(warm)
        chosen = self._shares(crossed.single, everything)
        oof = self._nested_proba(crossed)
        params = self._params(fitted, chosen)
        nested = score.interval(self.metric, self.data.y, oof, seed=self.seed)
        resubstituted = score.score(self.metric, self.data.y, pool.apply(params, self.data.proba))
        sign = 1.0 if score.lookup(self.metric).greater_is_better else -1.0
        members, views = self._worth(fitted)
        used = [(self.names[k], chosen[k]) for k in np.argsort(-chosen, kind="stable") if chosen[k] > 0]
        blend = Blend(
            members=self.data.members,
            view_names=self.data.views,
            classes=self.data.classes,
            metric=self.metric,
            method=" + ".join(f"{share:.0%} {name}" for name, share in used),
            weights=tuple(self._weights(params)),
            views=tuple(fitted.views.tolist()),
            temperatures=tuple(self._spread(fitted, fitted.temperatures, 1.0).tolist()),
            gap=max(c.gap for c in fitted.candidates),
            bound=max(c.bound for c in fitted.candidates),
            nested=Nested(nested.score, nested.low, nested.high),
            optimism=sign * (resubstituted - nested.score),
            candidates=self._table(crossed.single, chosen),
            member_worth=members,
            view_worth=views,
            notes=(),
            params=params,
            oof=oof,
        )
        pruned = np.delete(self.originals, fitted.kept).tolist()
        return notes(blend, self.data, self.copies, pruned)

    def _cross(self, warm: dict[str, Array]) -> Crossed:
        def predict(rows: Array, wanted: list[Array]) -> list[Array]:
            fitted = self.procedure.fit(rows, dict(warm))
            return [self.procedure.predict(fitted, each) for each in wanted]

        return cross(self.group, len(self.names), len(self.data.classes), predict)

    def _shares(self, proba: Array, rows: Array) -> Array:
        return shares(self.metric, self.names, self.data.y[rows], proba[:, rows], self.seed)

    def _nested_proba(self, crossed: Crossed) -> Array:
        """Return (N, C): each row by a blend whose parts and shares never saw its group."""
        out = np.empty(crossed.single.shape[1:])
        for j in range(len(crossed.double)):
            inside = self.group == j
            chosen = self._shares(crossed.double[j], ~inside)
            out[inside] = np.tensordot(chosen, crossed.single[:, inside], 1)
        return out

    def _params(self, fitted: Fit, chosen: Array) -> dict[str, Any]:
        parts = [
            {"name": self.names[k], "share": float(chosen[k])} | self._full_part(fitted, fitted.candidates[k].part)
            for k in np.flatnonzero(chosen)
        ]
        return {"views": fitted.views.tolist(), "parts": parts}

    def _full_part(self, fitted: Fit, part: Part) -> Part:
        """Return the part over all members: those that were dropped have no weight."""
        absent = {"temperatures": 1.0, "weights": 0.0, "slopes": 0.0}
        full = {name: self._spread(fitted, np.array(part[name]), absent[name]).tolist() for name in absent}
        if "ranks" in part:
            placed = dict(zip(self.originals[fitted.kept].tolist(), part["ranks"], strict=True))
            full["ranks"] = [placed.get(m, part["ranks"][0]) for m in range(len(self.data.members))]
        return part | full

    def _spread(self, fitted: Fit, values: Array, absent: float) -> Array:
        full = np.full(len(self.data.members), absent)
        full[self.originals[fitted.kept]] = values
        return full

    def _weights(self, params: dict[str, Any]) -> list[float]:
        total = np.zeros(len(self.data.members))
        for part in params["parts"]:
            carried = np.maximum(part["centre"] * np.array(part["weights"]) + np.array(part["slopes"]), 0.0)
            total += part["share"] * carried / max(carried.sum(), 1e-300)
        weights: list[float] = (total / total.sum()).tolist()
        return weights

    def _table(self, single: Array, chosen: Array) -> dict[str, Candidate]:
        errors = score.standard_errors(self.metric, self.data.y, single, single[self.names.index("mean")])
        values = [score.score(self.metric, self.data.y, proba) for proba in single]
        rows = zip(self.names, values, errors, chosen, strict=True)
        return {name: Candidate(value, float(error), float(share)) for name, value, error, share in rows}

    def _worth(self, fitted: Fit) -> tuple[Pairs, Pairs]:
        worth = np.zeros((len(self.data.members), 2))
        logs = self.procedure.logs(fitted.views, np.ones(len(self.data.y), dtype=bool))[fitted.kept]
        worth[self.originals[fitted.kept]] = member_worth(logs, self.data.y, self.group, fitted.temperatures)
        views = view_worth(self.procedure.view_likelihoods, self.group, fitted.views)
        return _pairs(worth), _pairs(views)


def _pairs(table: Array) -> Pairs:
    return tuple((float(gain), float(error)) for gain, error in table)
