"""The members of a blend: what each says about the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.tasks import ONE_CLASS, Array, Flat, Task
from kit.config import Config
from kit.judge import decide, score
from kit.judge.blend import Blend, Options, fit
from kit.judge.blend.foreign import Foreign
from kit.judge.blend.nested import fold_groups
from kit.judge.metrics.rows import labels_of
from kit.judge.seen import Seen, seen
from kit.judge.units import units_of
from kit.runs.results import load_oof
from kit.runs.spec import FoldSpec
from kit.runs.stressed import load_stressed, stressed_run
from kit.runtime.decide import Decision
from kit.store.blend import Rule
from kit.store.data import load_index
from kit.store.layout import Layout
from kit.store.partition import load_folds
from kit.store.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Library:
    """The members' out-of-fold predictions (M, V, N, C) on the same rows, classes and views, those that all have.

    ``stressed`` are those of the same rows under the mixture of `[stress]`.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    views: tuple[str, ...]
    proba: npt.NDArray[np.float64]
    truth: Array
    fold: IntArray
    groups: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    stressed: npt.NDArray[np.float64] | None = None
    task: Task = ONE_CLASS

    @cached_property
    def flat(self) -> Flat:
        """The rows of one class each that a blend is fitted on."""
        return self.task.flat(self.truth, self.classes)

    def seen(self, metric: str) -> Seen:
        """What a metric is given."""
        return seen(metric, self.task, self.truth, self.classes, self.groups)


def load_library(layout: Layout, config: Config, specs: dict[str, list[FoldSpec]]) -> Library:
    """The members' out-of-fold probabilities in the order of the data's index, stressed ones where all have them.

    Raises `StageError` where a run is not trained on every fold, or ``ensemble.fit_on`` asks for stressed rows and a
    run has none.
    """
    index = load_index(layout)
    folds_of_rows = load_folds(layout, config, index)
    rows = folds_of_rows.validated
    ids = np.array(index.ids)[rows]
    members = [load_oof(folds, index).take(ids) for folds in specs.values()]
    views = shared_views(members)
    hurt = None
    stressed = all(stressed_run(folds, config, index) for folds in specs.values())
    if stressed or fit_on(config, stressed) != "clean":
        mixtures = [load_stressed(folds, config, index).mixture.take(ids) for folds in specs.values()]
        hurt = np.stack([mixture.select(views).proba for mixture in mixtures])
    return Library(
        ids=tuple(ids.tolist()),
        names=tuple(specs),
        views=views,
        proba=np.stack([member.select(views).proba for member in members]),
        truth=index.truth[rows],
        fold=folds_of_rows.fold[rows],
        groups=np.array(index.groups)[rows],
        classes=index.classes,
        stressed=hurt,
        task=index.task,
    )


def blended(library: Library, config: Config, options: Options, fit_on: str = "clean") -> Blend:
    """Fit the blend of the members, its answers decided for the metric of the competition where no other is set.

    It is fitted on the `Task.flat` rows of the images, and one of whole images again.
    """
    flat, hurt, settings = library.flat, library.stressed, config.ensemble
    metric, options = settings.metric or config.competition.metric, replace(options, unknown=settings.unknown)
    if library.task.kind != "classes":
        rows = tuple(f"{library.ids[row]}/{number}" for number, row in enumerate(flat.row.tolist()))
        options = replace(options, classes=flat.classes, rows=rows, whole=False)
    blend = fit(
        flat.spread(library.proba),
        flat.y,
        library.fold[flat.row],
        metric=metric if library.task.kind == "classes" else "nll",
        seed=settings.seed,
        options=options,
        groups=library.groups[flat.row],
        stressed=None if hurt is None else flat.spread(hurt),
        fit_on=fit_on,
    )
    if library.task.kind == "classes":
        return blend
    params = blend.params.model_copy(update={"several": True}) if library.task.several else blend.params
    oof, hurt = flat.gather(blend.oof), None if blend.stressed_oof is None else flat.gather(blend.stressed_oof)
    told = decided(library, metric, oof, hurt)
    every = library.seen(metric)
    said = every.said(oof, told["answers"])
    nested = score.interval(metric, every.y, said, seed=settings.seed, groups=every.groups).figure
    told |= {"params": params, "classes": library.classes, "metric": metric, "nested": nested}
    return blend.model_copy(update={**told, "oof": oof, "stressed_oof": hurt})


def decided(library: Library, metric: str, oof: Array, hurt: Array | None) -> dict[str, Any]:
    """The fields of a `Blend` that say how its probabilities (N, C) are answered, and the answers out of fold.

    Thresholds of several labels are those of the other folds.
    """
    if library.task.kind == "numbers":
        kind = "median" if metric == "mae" else "mean"
        return _answered({"kind": kind, "values": list(map(float, library.classes))}, oof, hurt)
    if not library.task.several:
        return _answered(None, oof, hurt)
    y, unit = library.truth, units_of(library.groups, len(library.ids))
    group = fold_groups(library.fold, library.task.strata(y, library.classes), library.ids, unit)
    found = _answered(decide.fit(metric, y, oof, group, unit).decision, oof, hurt)
    for number in np.unique(group):
        inside, others = group == number, group != number
        nested = decide.fit(metric, y[others], oof[others], group[others], unit[others]).decision
        for name, proba in (("answers", oof), ("stressed_answers", hurt)):
            if proba is not None:
                found[name][inside] = decide.apply(nested, proba[inside])
    if decide.is_fitted(metric, labels=True):
        gain, error = decide.worth(metric, y, found["answers"], labels_of(oof), unit)
        if gain < -error:
            found = _answered(decide.plain(metric, oof, labels=True), oof, hurt)
        found["decision_worth"] = gain, error
    return found


def _answered(rule: Decision | None, oof: Array, hurt: Array | None) -> dict[str, Any]:
    """A rule and what it answers to clean rows and to stressed ones."""
    stressed = None if hurt is None else decide.apply(rule, hurt)
    return {"decision": Rule.of(rule), "answers": decide.apply(rule, oof), "stressed_answers": stressed}


def fit_on(config: Config, stressed: bool) -> str:
    """The rows to fit on: as configured; clean ones where there are no others and nothing was asked for."""
    settings = config.ensemble
    return settings.fit_on if stressed or "fit_on" in settings.model_fields_set else "clean"


def shared_views(members: Sequence[Predictions | Foreign]) -> tuple[str, ...]:
    """The views that every member has, in the order of the first."""
    return tuple(view for view in members[0].views if all(view in member.views for member in members))
