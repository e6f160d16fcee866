"""One fit of everything: views, limits, all candidates. What is fitted and scored out of fold is this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kit.blend.candidates import Candidates, Fitted
from kit.blend.options import Options
from kit.blend.prune import keep_members, keep_within_time
from kit.blend.rows import Rows
from kit.blend.types import Array
from kit.blend.views import fit_views, view_likelihoods
from kit.runtime.pool import apply_part, log_proba, mix_views


@dataclass(frozen=True)
class Fit:
    """The candidates fitted on some rows.

    Attributes
    ----------
    views : (V,) view weights
    kept : (k,) indices of the members the limits allow
    candidates : list of L Fitted
        Over the kept members only.
    temperatures : (k,) temperature of each kept member
    """

    views: Array
    kept: Array
    candidates: list[Fitted]
    temperatures: Array


class Procedure:
    """Fits and predicts any subset of the rows.

    Parameters
    ----------
    proba : (M, V, N, C) probabilities
    y : (N,) class indices
    group : (N,) groups of rows, for the choice of views
    candidates : dict of functions
    options : Options
    used : (N,) bool array, optional
        Rows that may be fitted on; all by default. The others are predicted only.
    """

    def __init__(
        self,
        proba: Array,
        y: Array,
        group: Array,
        candidates: Candidates,
        options: Options,
        used: Array | None = None,
    ) -> None:
        self.proba, self.y, self.group = proba, y, group
        self.candidates, self.options = candidates, options
        self.used = np.ones(len(y), dtype=bool) if used is None else used
        self.view_likelihoods = view_likelihoods(proba, y)
        self._logs = log_proba(proba[:, 0]) if proba.shape[1] == 1 else None

    def fit(self, rows: Array, warm: dict[str, Array] | None = None) -> Fit:
        """Fit on the rows of a mask that may be; ``warm`` are starts from a neighbouring fit, which is written to."""
        rows = rows & self.used
        views = fit_views(self.view_likelihoods[rows], self.group[rows], self.options.max_views)
        logs = self.logs(views, rows)
        everything = Rows(logs, self.y[rows])
        views = keep_within_time(views, self.options)
        kept = keep_members(everything.likelihoods, int((views > 0).sum()), self.options)
        used = Rows(logs[kept], self.y[rows], {} if warm is None else warm)
        fitted = [candidate(used) for candidate in self.candidates.values()]
        return Fit(views, kept, fitted, used.temperatures)

    def logs(self, views: Array, rows: Array) -> Array:
        """Return (M, n, C) log probabilities of the members under view weights."""
        logs: Array = (
            self._logs[:, rows] if self._logs is not None else log_proba(mix_views(views, self.proba[:, :, rows]))
        )
        return logs

    def predict(self, fit: Fit, rows: Array) -> Array:
        """Return (L, n, C) probabilities of the candidates."""
        logs = self.logs(fit.views, rows)[fit.kept]
        proba = np.exp(logs)
        return np.stack([apply_part(candidate.part, proba, logs) for candidate in fit.candidates])
