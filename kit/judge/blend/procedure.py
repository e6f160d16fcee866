"""One fit of everything: views, limits, all candidates. What is fitted and scored out of fold is this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.judge.blend.candidates import Candidate, Fitted, may_be_joint
from kit.judge.blend.check import Data
from kit.judge.blend.convex import fit_views, view_likelihoods
from kit.judge.blend.result import Options
from kit.judge.blend.rows import Rows
from kit.judge.blend.worth import keep_members, keep_within_time
from kit.judge.metrics import Array
from kit.runtime.pool import apply_part, blocks, log_proba, mix_views


@dataclass(frozen=True)
class Fit:
    """View weights (V,), the members (k,) that the limits allow, and over these alone candidates and temperatures.

    ``warm`` are solutions by name, from which a fit on other rows starts.
    """

    views: Array
    kept: Array
    candidates: list[Fitted]
    temperatures: Array
    warm: Mapping[str, Any]


class Procedure:
    """Fits and predicts any subset of the rows of `Data`.

    Views are chosen by ``group`` (N,). Only rows that are ``used`` (N,) may be fitted on, the others are predicted.
    """

    def __init__(
        self, data: Data, group: Array, candidates: Mapping[str, Candidate], options: Options, used: Array
    ) -> None:
        self.proba, self.y, self.unit, self.group, self.used = data.proba, data.y, data.unit, group, used
        self.candidates, self.options = candidates, options
        self.view_likelihoods = view_likelihoods(data.proba, data.y)
        # Of the smallest nested fit, which lacks the two largest groups: every fit has the form of the blend it scores.
        units = sorted(len(np.unique(self.unit[group == k])) for k in np.unique(group))
        most = min(len(data.proba), options.max_members or len(data.proba))
        self.joint = may_be_joint(most, len(data.classes), sum(units[:-2]))
        self.precision = np.float32 if data.large else np.float64
        self._logs: Array | None = None  # of all rows, where views cannot change them
        if len(data.views) == 1:
            self._logs = self.logs(np.ones(1), np.ones(len(self.y), dtype=bool))

    def fit(self, rows: Array, neighbour: Fit | None = None) -> Fit:
        """Fit on the rows of a mask that may be used, starting from the solutions of a fit on most of them."""
        rows = rows & self.used
        views = fit_views(self.view_likelihoods[rows], self.group[rows], self.options.max_views, self.unit[rows])
        logs = self.logs(views, rows)
        views = keep_within_time(views, self.options)
        kept = keep_members(Rows(logs, self.y[rows]).likelihoods, int((views > 0).sum()), self.options)
        # Limits may keep another number of members here, for which the neighbour's solutions are no start.
        warm = dict(neighbour.warm) if neighbour is not None and len(neighbour.kept) == len(kept) else {}
        used = Rows(logs if len(kept) == len(logs) else logs[kept], self.y[rows], warm, self.joint)
        fitted = [candidate.fit(used) for candidate in self.candidates.values()]
        return Fit(views, kept, fitted, used.temperatures, warm if neighbour is None else {})

    def logs(self, views: Array, rows: Array) -> Array:
        """Return (M, n, C) log probabilities of the members under view weights."""
        if self._logs is not None:
            # An index of a mask would put rows first in memory.
            return self._logs if rows.all() else self._logs.compress(rows, axis=1)
        out = np.empty((len(self.proba), int(rows.sum()), self.proba.shape[3]), self.precision)
        for member, logs in zip(self.proba, out, strict=True):
            logs[:] = log_proba(mix_views(views, member[None, :, rows]))[0]
        return out

    def predict(self, fit: Fit, rows: Array) -> Array:
        """Return (L, n, C) probabilities of the candidates for the rows of a mask."""
        places, (members, _, _, classes) = np.flatnonzero(rows), self.proba.shape
        out = np.empty((len(fit.candidates), len(places), classes), self.precision)
        for block in blocks(len(places), members * classes):
            mask = np.zeros(len(rows), dtype=bool)
            mask[places[block]] = True
            logs = self.logs(fit.views, mask)[fit.kept]
            proba = np.exp(logs)
            seen = {(m, 1.0): member for m, member in enumerate(proba)}
            for k, candidate in enumerate(fit.candidates):
                out[k, block] = apply_part(candidate.part, proba, logs, seen)
        return out
