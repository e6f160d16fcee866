"""The fitted blend, and the way from out-of-fold predictions to it."""

from __future__ import annotations

import numpy as np

from kit.errors import DataError
from kit.judge import metrics, score
from kit.judge.blend import candidates as table
from kit.judge.blend.check import Data, check, with_stress
from kit.judge.blend.choose import shares
from kit.judge.blend.duplicates import find_duplicates
from kit.judge.blend.folds import fold_groups
from kit.judge.blend.nested import Crossed, cross
from kit.judge.blend.notes import notes
from kit.judge.blend.options import Options
from kit.judge.blend.procedure import Fit, Procedure
from kit.judge.blend.result import Blend
from kit.judge.blend.types import Array
from kit.judge.blend.worth import member_worth, view_worth
from kit.runtime import pool
from kit.runtime.pool import Params, Part
from kit.store.candidate import Considered, Pool
from kit.store.record import Figure

FIT_ON = {"clean": (True, False), "stressed": (False, True), "mixture": (True, True)}


def fit(
    proba: Array,
    y: Array,
    fold: Array,
    *,
    metric: str = "nll",
    seed: int = 0,
    options: Options | None = None,
    stressed: Array | None = None,
    fit_on: str = "clean",
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
        A key of `kit.judge.score.METRICS`.
    seed : int
    options : Options, optional
        Names, limits and costs.
    stressed : (M, N, C) or (M, V, N, C) array, optional
        The same rows' predictions with the pictures hurt, out of fold too.
    fit_on : str
        A key of `FIT_ON`: the rows that views, temperatures, weights and shares are fitted on. Nested scores are given
        of the clean rows and of the stressed ones whatever it is; a row and its hurt twin are always left out together.

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
    if fit_on not in FIT_ON or (stressed is None and fit_on != "clean"):
        raise DataError(f"a blend cannot be fitted on {fit_on!r} rows", f"one of {', '.join(FIT_ON)}; give stressed")
    clean = check(proba, y, fold, options)
    data = clean if stressed is None else with_stress(clean, np.asarray(stressed), options)
    return _Fitting(data, len(clean.y), np.repeat(FIT_ON[fit_on], len(clean.y)), metric, seed, options).blend(fit_on)


class _Fitting:
    """The steps of `fit`, in the order in which `blend` takes them; rows that are not ``used`` are only predicted."""

    def __init__(self, data: Data, clean: int, used: Array, metric: str, seed: int, options: Options) -> None:
        self.data, self.clean, self.used = data, clean, used[: len(data.y)]
        self.metric, self.seed = metric, seed
        self.copies = find_duplicates(data.proba)
        self.originals = np.array([m for m in range(len(data.members)) if m not in self.copies])
        proba = data.proba[self.originals] if self.copies else data.proba
        mean = np.stack([member[0, :clean] for member in proba]).mean(axis=0, dtype=np.float64)
        group = fold_groups(data.fold[:clean], metrics.row_nll(data.y[:clean], mean))
        # A clean row and its stressed twin are left out together.
        self.group = np.tile(group, len(data.y) // clean)
        candidates = table.candidates(metric, len(self.originals))
        self.names = list(candidates)
        chosen = options.only(self.originals.tolist())
        self.procedure = Procedure(proba, data.y, self.group, candidates, chosen, self.used)

    def blend(self, fit_on: str) -> Blend:
        clean, data = self.clean, self.data
        everything = np.ones(len(data.y), dtype=bool)
        warm: dict[str, Array] = {}
        fitted = self.procedure.fit(everything, warm)
        crossed = self._cross(warm)
        chosen = self._shares(crossed.single, everything)
        oof = self._nested_proba(crossed)
        params = self._params(fitted, chosen)
        members, views = self._worth(fitted)
        used = [(self.names[k], chosen[k]) for k in np.argsort(-chosen, kind="stable") if chosen[k] > 0]
        hurt = len(oof) > clean
        blend = Blend(
            members=data.members,
            view_names=data.views,
            classes=data.classes,
            metric=self.metric,
            method=" + ".join(f"{share:.0%} {name}" for name, share in used),
            weights=tuple(self._weights(params)),
            views=tuple(fitted.views.tolist()),
            temperatures=tuple(self._spread(fitted, fitted.temperatures, 1.0).tolist()),
            gap=max(c.gap for c in fitted.candidates),
            bound=max(c.bound for c in fitted.candidates),
            nested=self._scored(oof, slice(clean)),
            optimism=self._optimism(params, oof),
            candidates=self._considered(crossed.single, chosen),
            member_worth=members.tolist(),
            view_worth=views.tolist(),
            notes=(),
            params=Pool.model_validate(params),
            fit_on=fit_on,
            stressed=self._scored(oof, slice(clean, None)) if hurt else None,
            oof=oof[:clean],
            stressed_oof=oof[clean:] if hurt else None,
        )
        pruned = np.delete(self.originals, fitted.kept).tolist()
        return blend.model_copy(update={"notes": notes(blend, data.y[:clean], self.copies, pruned)})

    def _scored(self, oof: Array, rows: slice) -> Figure:
        found = score.interval(self.metric, self.data.y[rows], oof[rows], seed=self.seed)
        return Figure(score=found.score, low=found.low, high=found.high)

    def _optimism(self, params: Params, oof: Array) -> float:
        """By how much the score on the rows fitted on flatters."""
        y, again = self.data.y[self.used], pool.apply(params, self.data.proba[:, :, self.used])
        sign = 1.0 if score.lookup(self.metric).greater_is_better else -1.0
        return sign * (score.score(self.metric, y, again) - score.score(self.metric, y, oof[self.used]))

    def _cross(self, warm: dict[str, Array]) -> Crossed:
        def predict(rows: Array, wanted: list[Array]) -> list[Array]:
            fitted = self.procedure.fit(rows, dict(warm))
            return [self.procedure.predict(fitted, each) for each in wanted]

        return cross(self.group, len(self.names), len(self.data.classes), predict)

    def _shares(self, proba: Array, rows: Array) -> Array:
        rows = rows & self.used
        return shares(self.metric, self.names, self.data.y[rows], proba[:, rows], self.seed)

    def _nested_proba(self, crossed: Crossed) -> Array:
        """Return (N, C): each row by a blend whose parts and shares never saw its group."""
        out = np.empty(crossed.single.shape[1:])
        for j in range(len(crossed.double)):
            inside = self.group == j
            chosen = self._shares(crossed.double[j], ~inside)
            out[inside] = np.tensordot(chosen, crossed.single[:, inside], 1)
        return out

    def _params(self, fitted: Fit, chosen: Array) -> Params:
        """The blend over all members: those that were dropped have no weight."""
        parts: list[Part] = []
        for k in np.flatnonzero(chosen):
            part = fitted.candidates[k].part
            full: Part = {
                **part,
                "temperatures": self._spread(fitted, np.array(part["temperatures"]), 1.0).tolist(),
                "weights": self._spread(fitted, np.array(part["weights"]), 0.0).tolist(),
                "slopes": self._spread(fitted, np.array(part["slopes"]), 0.0).tolist(),
                "name": self.names[k],
                "share": float(chosen[k]),
            }
            if "ranks" in part:
                placed = dict(zip(self.originals[fitted.kept].tolist(), part["ranks"], strict=True))
                full["ranks"] = [placed.get(m, part["ranks"][0]) for m in range(len(self.data.members))]
            parts.append(full)
        return {"views": fitted.views.tolist(), "parts": parts}

    def _spread(self, fitted: Fit, values: Array, absent: float) -> Array:
        full = np.full(len(self.data.members), absent)
        full[self.originals[fitted.kept]] = values
        return full

    def _weights(self, params: Params) -> list[float]:
        total = np.zeros(len(self.data.members))
        for part in params["parts"]:
            carried = np.maximum(part["centre"] * np.array(part["weights"]) + np.array(part["slopes"]), 0.0)
            total += part["share"] * carried / max(carried.sum(), 1e-300)
        weights: list[float] = (total / total.sum()).tolist()
        return weights

    def _considered(self, single: Array, chosen: Array) -> dict[str, Considered]:
        single, y = single[:, self.used], self.data.y[self.used]
        errors = score.standard_errors(self.metric, y, single, single[self.names.index("mean")])
        values = [score.score(self.metric, y, proba) for proba in single]
        rows = zip(self.names, values, errors, chosen, strict=True)
        return {
            name: Considered(score=value, se=float(error), share=float(share)) for name, value, error, share in rows
        }

    def _worth(self, fitted: Fit) -> tuple[Array, Array]:
        """Pairs of gain and standard error of each member and of each view."""
        worth, used = np.zeros((len(self.data.members), 2)), self.used
        logs = self.procedure.logs(fitted.views, used)[fitted.kept]
        group = self.group[used]
        worth[self.originals[fitted.kept]] = member_worth(logs, self.data.y[used], group, fitted.temperatures)
        return worth, view_worth(self.procedure.view_likelihoods[used], group, fitted.views)
