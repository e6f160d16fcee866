"""The members of a blend: what each says about the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.config import Config
from kit.judge.blend import Blend, Options, fit
from kit.judge.blend.foreign import Foreign
from kit.runs.results import load_oof
from kit.runs.spec import FoldSpec
from kit.runs.stressed import load_stressed, stressed_run
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
    y: IntArray
    fold: IntArray
    groups: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    stressed: npt.NDArray[np.float64] | None = None


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
        y=index.labels[rows],
        fold=folds_of_rows.fold[rows],
        groups=np.array(index.groups)[rows],
        classes=index.classes,
        stressed=hurt,
    )


def blended(library: Library, config: Config, options: Options, fit_on: str = "clean") -> Blend:
    """Fit the blend of the members, its answers decided for the metric of the competition where no other is set."""
    settings = config.ensemble
    return fit(
        library.proba,
        library.y,
        library.fold,
        metric=settings.metric or config.competition.metric,
        seed=settings.seed,
        options=options,
        groups=library.groups,
        stressed=library.stressed,
        fit_on=fit_on,
    )


def fit_on(config: Config, stressed: bool) -> str:
    """The rows to fit on: as configured; clean ones where there are no others and nothing was asked for."""
    settings = config.ensemble
    return settings.fit_on if stressed or "fit_on" in settings.model_fields_set else "clean"


def shared_views(members: Sequence[Predictions | Foreign]) -> tuple[str, ...]:
    """The views that every member has, in the order of the first."""
    return tuple(view for view in members[0].views if all(view in member.views for member in members))
