"""The fitted blend, and the way from out-of-fold predictions to it."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.base.text import nearest
from kit.errors import DataError
from kit.judge import decide, score
from kit.judge.blend.candidates import candidates
from kit.judge.blend.nested import Fit, Procedure, cross, fold_groups, shares
from kit.judge.blend.result import OF_OOF, Blend, Options, notes
from kit.judge.blend.rows import Data, check, with_stress
from kit.judge.blend.worth import member_worth, view_worth
from kit.judge.decide import Decided
from kit.judge.metrics import Array
from kit.runtime import pool
from kit.runtime.pool import Params, Part
from kit.store.blend import Pool, Rule
from kit.store.candidate import Considered
from kit.store.record import Figure

SLIGHT = 0.05  # standard errors below which nothing is said of how a choice flatters
FIT_ON = {"clean": (True, False), "stressed": (False, True), "mixture": (True, True)}


def fit(
    proba: Array,
    y: Array,
    fold: Array,
    *,
    metric: str = "nll",
    seed: int = 0,
    options: Options | None = None,
    groups: Any = None,
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
    groups : (N,) array, optional
        What a row belongs to, such as its patient; empty text for a row that is alone. Errors and intervals count a
        group once; its rows must share a fold.
    stressed : (M, N, C) or (M, V, N, C) array, optional
        Predictions for the same rows with their images corrupted, out of fold too.
    fit_on : str, optional
        A key of `FIT_ON`, by default clean: the rows that views, temperatures, weights and shares are fitted on.
        Nested scores are given of the clean rows and of the stressed ones whatever it is; a row and its corrupted
        twin are always left out together.

    Raises
    ------
    kit.errors.DataError
        The predictions cannot be blended; names member and row.

    Notes
    -----
    Deterministic. Permuting members permutes the weights; the order of rows and classes does not matter (with fewer
    than three folds, where the rows have names); an exact copy of a member changes nothing; a single member gets the
    weight 1.
    """
    score.lookup(metric)
    options = options or Options()
    if fit_on not in FIT_ON or (stressed is None and fit_on != "clean"):
        raise DataError(f"a blend cannot be fitted on {fit_on!r} rows", f"use one of {', '.join(FIT_ON)}")
    clean = check(proba, y, fold, options, groups)
    data = clean if stressed is None else with_stress(clean, np.asarray(stressed), options)
    # Thousands of matrices, most of them small: waiting for threads takes longer than they do.
    with threadpool_limits(1, user_api="blas"):
        fitting = _Fitting(data, len(clean.y), np.repeat(FIT_ON[fit_on], len(clean.y)), metric, seed, options)
        return fitting.blend(fit_on)


class _Fitting:
    """The steps of `fit`, in the order in which `blend` takes them; rows that are not ``used`` are only predicted."""

    def __init__(self, data: Data, clean: int, used: Array, metric: str, seed: int, options: Options) -> None:
        self.data, self.clean, self.used = data, clean, used[: len(data.y)]
        self.metric, self.seed, self.whole = metric, seed, options.whole
        self.y, self.unit = data.y[:clean], data.unit[:clean]  # of the clean rows
        self.unknown = None
        if options.unknown:
            if options.unknown not in data.classes:
                raise DataError(f"unknown = {options.unknown!r} is no class", nearest(options.unknown, data.classes))
            self.unknown = data.classes.index(options.unknown)
        # An exact copy of an earlier member would share its weight, and change what a prior towards equal ones means.
        first: dict[bytes, int] = {}
        hashes = [hashlib.sha256(np.ascontiguousarray(member).data).digest() for member in data.proba]
        self.copies = {m: first[found] for m, found in enumerate(hashes) if first.setdefault(found, m) != m}
        self.originals = np.array([m for m in range(len(data.members)) if m not in self.copies])
        proba = data.proba[self.originals] if self.copies else data.proba
        names = range(clean) if options.rows is None else options.rows
        group = fold_groups(data.fold[:clean], self.y, names, self.unit)
        # A clean row and its stressed twin are left out together.
        self.group = np.tile(group, len(data.y) // clean)
        self.candidates = candidates(len(self.originals), len(data.classes), large=data.large)
        chosen = options.only(self.originals.tolist())
        self.procedure = Procedure(replace(data, proba=proba), self.group, self.candidates, chosen, self.used)

    def blend(self, fit_on: str) -> Blend:
        clean, data, names = self.clean, self.data, list(self.candidates)
        fitted = self.procedure.fit(np.ones(len(data.y), dtype=bool))
        single, oof, answers = self._nested(fitted)
        chosen, decided = self._choice(single, np.ones(len(data.y), dtype=bool))
        worth = self._decision_worth(oof[:clean], answers[:clean])
        decided, answers = self._kept(worth, decided, oof, answers)
        params, (members, views) = self._params(fitted, chosen), self._worth(fitted)
        used = [(names[k], chosen[k]) for k in np.argsort(-chosen, kind="stable") if chosen[k] > 0]
        hurt = len(oof) > clean
        blend = Blend(
            members=data.members,
            view_names=data.views,
            classes=data.classes,
            metric=self.metric,
            method=" + ".join(f"{share:.0%} {name}" for name, share in used),
            weights=tuple(self._weights(params)),
            views=tuple(fitted.views.tolist()),
            temperatures=tuple(self._spread(fitted, fitted.temperatures, 1.0)),
            gap=max(c.gap for c in fitted.candidates),
            bound=max(c.bound for c in fitted.candidates),
            nested=self._interval(oof[:clean], answers[:clean]),
            optimism=self._optimism(params, decided, oof, answers),
            candidates=self._considered(single, chosen),
            member_worth=members.tolist(),
            view_worth=views.tolist(),
            notes=(),
            params=Pool.model_validate(params),
            fit_on=fit_on,
            stressed=self._interval(oof[clean:], answers[clean:]) if hurt else None,
            decision=Rule.of(decided.decision),
            decision_worth=worth,
            oof=oof[:clean],
            stressed_oof=oof[clean:] if hurt else None,
            answers=answers[:clean],
            stressed_answers=answers[clean:] if hurt else None,
        )
        pruned = np.delete(self.originals, fitted.kept).tolist()
        told = notes(blend, self.y, self.unit, self.copies, pruned, whole=self.whole)
        return blend.model_copy(update={"notes": (*told, *self._flattery(), OF_OOF)})

    def _interval(self, oof: Array, answers: Array) -> Figure:
        """The score of the clean rows, or of their stressed twins."""
        said = decide.said(self.metric, oof, answers)
        return score.interval(self.metric, self.y, said, seed=self.seed, groups=self.unit).figure

    def _decision_worth(self, oof: Array, answers: Array) -> tuple[float, float] | None:
        """What the decided answers gain over the most probable classes, both nested; None where these are the rule."""
        if not decide.is_fitted(self.metric) and self.unknown is None:
            return None
        return decide.worth(self.metric, self.y, answers, oof.argmax(axis=1), self.unit)

    def _kept(
        self, worth: tuple[float, float] | None, decided: Decided, oof: Array, answers: Array
    ) -> tuple[Decided, Array]:
        """The decision and its answers, or the plain rule's where the first lose more than an error.

        They may do so although `decide.fit` kept the rule: here each group has a blend of its own as well.
        """
        if worth is None or worth[0] >= -worth[1]:
            return decided, answers
        rule = decide.plain(self.metric, oof, labels=False)
        return Decided(rule), decide.apply(rule, oof)

    def _flattery(self) -> list[str]:
        """What the best member's score is worth, the best being chosen by it."""
        if len(self.originals) < 2:
            return []
        members = [self.data.proba[m, 0, : self.clean] for m in self.originals]
        flattered, error = score.flattery(self.metric, self.y, members, seed=self.seed, groups=self.unit)
        if not error or flattered < SLIGHT * error:  # a member without a mistake has no error to compare with
            return []
        what = f"the {self.metric} of the best of {len(members)} members flatters it by about {flattered:.4f}"
        return [f"{what} ({flattered / error:.1f} standard errors), because it was chosen by this score"]

    def _nested(self, fitted: Fit) -> tuple[Array, Array, Array]:
        """The candidates' predictions (L, N, C), and predictions (N, C) and answers of blends that never saw a row.

        Neither the parts nor the shares of the blend that predicts a row have seen its group, nor has the decision of
        its answer, which are the last. What serves the choice for one group is forgotten before the next one: of large
        sets it is larger than they are.
        """
        fits = cross(self.group, lambda rows: self.procedure.fit(rows, fitted))
        groups = range(int(self.group.max()) + 1)
        choices = [self._choice(*self._predicted({k: fits[j, k] for k in groups if k != j})) for j in groups]
        single, _ = self._predicted({k: fits[k, k] for k in groups})
        oof, answers = np.empty(single.shape[1:]), list[Array]()
        for j, (chosen, decided) in enumerate(choices):
            inside = self.group == j
            oof[inside] = np.tensordot(chosen.astype(single.dtype), single[:, inside], 1)
            answers.append(decide.apply(decided.decision, oof[inside]))
        order = np.argsort(np.argsort(self.group, kind="stable"), kind="stable")
        return single, oof, np.concatenate(answers)[order]

    def _predicted(self, fits: dict[int, Fit]) -> tuple[Array, Array]:
        """The candidates' predictions (L, n, C) of groups, each by a fit of its own, and the mask of their rows."""
        rows = np.isin(self.group, list(fits))
        out = np.empty((len(self.candidates), int(rows.sum()), len(self.data.classes)), self.procedure.precision)
        for k, fit in fits.items():
            out[:, self.group[rows] == k] = self.procedure.predict(fit, self.group == k)
        return out, rows

    def _choice(self, proba: Array, rows: Array) -> tuple[Array, Decided]:
        """Shares (L,) of the candidates by their predictions (L, n, C) of a mask of rows, and the decision by these."""
        used, beliefs = self.used[rows], {name: candidate.prior for name, candidate in self.candidates.items()}
        proba, rows = proba if used.all() else proba[:, used], rows & self.used
        y, group, unit = (each[rows] for each in (self.data.y, self.group, self.data.unit))
        likelihoods = np.log(np.maximum(proba[:, np.arange(len(y)), y], pool.FLOOR))
        chosen = shares(beliefs, likelihoods, self.seed, unit)
        blended = np.tensordot(chosen.astype(proba.dtype), proba, 1)
        return chosen, decide.fit(self.metric, y, blended, group, unit, self.unknown)

    def _optimism(self, params: Params, decided: Decided, oof: Array, answers: Array) -> float:
        """By how much the score on the rows fitted on flatters."""
        proba = self.data.proba if self.used.all() else self.data.proba[:, :, self.used]
        y, again = self.data.y[self.used], pool.apply(params, proba)
        both = ((again, decide.apply(decided.decision, again)), (oof[self.used], answers[self.used]))
        first, nested = (score.score(self.metric, y, decide.said(self.metric, *each)) for each in both)
        return score.lookup(self.metric).sign * (first - nested)

    def _params(self, fitted: Fit, chosen: Array) -> Params:
        """The blend over all members: those that were dropped have no weight."""
        parts: list[Part] = []
        for k, name in enumerate(self.candidates):
            if not chosen[k]:
                continue
            part = fitted.candidates[k].part
            full: Part = {
                **part,
                "temperatures": self._spread(fitted, part["temperatures"], 1.0),
                "weights": self._spread(fitted, part["weights"], 0.0),
                "slopes": self._spread(fitted, part["slopes"], 0.0),
                "name": name,
                "share": float(chosen[k]),
            }
            if "class_slopes" in part:
                slopes = dict(zip(self.originals[fitted.kept].tolist(), part["class_slopes"], strict=True))
                none = [[0.0] * len(self.data.classes)] * len(part["class_slopes"][0])
                full["class_slopes"] = [slopes.get(m, none) for m in range(len(self.data.members))]
            parts.append(full)
        return {"views": fitted.views.tolist(), "parts": parts}

    def _spread(self, fitted: Fit, values: Array | list[float], absent: float) -> list[float]:
        """Values of the members that were kept, as values of all."""
        full = np.full(len(self.data.members), absent)
        full[self.originals[fitted.kept]] = values
        return list(map(float, full))

    def _weights(self, params: Params) -> list[float]:
        """What part of the blend each member carries, a negative coefficient counted as nothing."""
        total = np.zeros(len(self.data.members))
        for part in params["parts"]:
            carried = part["centre"] * np.array(part["weights"]) + np.array(part["slopes"])
            if "class_slopes" in part:
                slopes = np.array(part["class_slopes"])
                carried += (slopes[:, 0] if slopes.shape[1] == 1 else slopes.diagonal(axis1=1, axis2=2)).mean(axis=1)
            carried = np.maximum(carried, 0.0)
            total += part["share"] * carried / max(carried.sum(), 1e-300)
        return list(map(float, total / total.sum()))

    def _considered(self, single: Array, chosen: Array) -> dict[str, Considered]:
        single = single if self.used.all() else single[:, self.used]
        y, names = self.data.y[self.used], list(self.candidates)
        base, unit = single[names.index("mean")], self.data.unit[self.used]
        found = score.scores_and_errors(self.metric, y, single, base, unit).tolist()
        return {
            name: Considered(score=value, se=error, share=share)
            for name, (value, error), share in zip(names, found, chosen.tolist(), strict=True)
        }

    def _worth(self, fitted: Fit) -> tuple[Array, Array]:
        """Pairs of gain and standard error of each member and of each view."""
        worth, used = np.zeros((len(self.data.members), 2)), self.used
        every, group, unit = self.procedure.logs(fitted.views, used), self.group[used], self.data.unit[used]
        logs = [every[m] for m in fitted.kept]
        worth[self.originals[fitted.kept]] = member_worth(logs, self.data.y[used], group, unit, fitted.temperatures)
        return worth, view_worth(self.procedure.view_likelihoods[used], group, unit, fitted.views)
