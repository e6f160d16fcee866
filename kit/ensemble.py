"""``kit ensemble``: blend the runs from their out-of-fold predictions, and keep what was decided."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from kit import score
from kit.blend import Blend, Options, fit
from kit.config import Config
from kit.data import load_folds, load_index
from kit.errors import StageError
from kit.files import read_json, sha256_file, sha256_json, write_json
from kit.layout import Layout, SubmissionPaths
from kit.records import Emit, Event, IntArray, Predictions, load_predictions
from kit.runs import FoldSpec, plan_runs
from kit.runtime.forward import softmax

VERSION = 1


@dataclass(frozen=True, eq=False)
class Library:
    """The members' out-of-fold predictions on the same rows, views and classes.

    Attributes
    ----------
    ids : tuple of N str
    names : tuple of M str
    views : tuple of V str
        Those that every member predicted.
    proba : (M, V, N, C) float64
    y, fold : (N,) int64
    classes : tuple of C str
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    views: tuple[str, ...]
    proba: npt.NDArray[np.float64]
    y: IntArray
    fold: IntArray
    classes: tuple[str, ...]


def ensemble(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> SubmissionPaths:
    """Fit the blend of the configured runs and write ``submissions/<utc>-<sha8>/ensemble.json``.

    Returns
    -------
    SubmissionPaths
        The new candidate, or the existing one for the same predictions and configuration.

    Raises
    ------
    StageError
        Where a run is not trained on every fold.
    """
    specs = plan_runs(layout, config, config.ensemble_runs())
    key = ensemble_key(config, specs)
    found = find_submission(layout, key)
    if found is not None and not force:
        emit(Event("fresh", "ensemble", {"stage": "ensemble", "submission": found.root.name}))
        return found
    library = load_library(layout, config, specs)
    blend = fit(
        library.proba,
        library.y,
        library.fold,
        metric=config.ensemble.metric,
        seed=config.ensemble.seed,
        options=Options(members=library.names, views=library.views, classes=library.classes, rows=library.ids),
    )
    paths = found or layout.submission(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{key[:8]}")
    _tell(emit, config, library, blend)
    _write(paths, config, specs, key, library, blend)
    emit(Event("wrote", "", {"paths": [paths.ensemble]}))
    return paths


def ensemble_key(config: Config, specs: dict[str, list[FoldSpec]]) -> str:
    """Hash of what the blend depends on: the members' predictions and the configuration of the blend.

    Raises
    ------
    StageError
        Where a run has folds without predictions.
    """
    for name, folds in specs.items():
        for spec in folds:
            if not spec.paths.valid.exists():
                raise StageError(
                    f"fold {spec.fold} of run `{name}` has no predictions", f"kit train {name} --fold {spec.fold}"
                )
        if not folds[0].run_paths.oof.exists():
            raise StageError(f"run `{name}` has no joined predictions", f"kit train {name}")
    oof = {name: sha256_file(folds[0].run_paths.oof) for name, folds in specs.items()}
    settings = config.ensemble.model_dump(mode="json")
    return sha256_json({"version": VERSION, "oof": oof, "ensemble": settings, "metric": config.competition.metric})


def find_submission(layout: Layout, key: str) -> SubmissionPaths | None:
    """The candidate that was made for ``key``, if there is one."""
    for folder in sorted(layout.submissions.glob(f"*-{key[:8]}")):
        paths = layout.submission(folder.name)
        if paths.ensemble.exists() and read_json(paths.ensemble)["key"] == key:
            return paths
    return None


def load_library(layout: Layout, config: Config, specs: dict[str, list[FoldSpec]]) -> Library:
    """The members' out-of-fold probabilities in the order of the data's index."""
    index = load_index(layout)
    ids = np.array(index.ids)
    members = [load_predictions(folds[0].run_paths.oof).take(ids) for folds in specs.values()]
    views = shared_views(members)
    stack = np.stack([member.logits[[member.views.index(view) for view in views]] for member in members])
    return Library(
        ids=index.ids,
        names=tuple(specs),
        views=views,
        proba=softmax(stack.astype(np.float64)),
        y=index.labels,
        fold=load_folds(layout, config, index).fold,
        classes=index.classes,
    )


def shared_views(members: Sequence[Predictions]) -> tuple[str, ...]:
    """The views that every member has, in the order of the first."""
    return tuple(view for view in members[0].views if all(view in member.views for member in members))


def _write(
    paths: SubmissionPaths,
    config: Config,
    specs: dict[str, list[FoldSpec]],
    key: str,
    library: Library,
    blend: Blend,
) -> None:
    assert blend.oof is not None  # fresh from `fit`
    metric = config.competition.metric
    nested = score.interval(metric, library.y, blend.oof, seed=config.ensemble.seed)
    Predictions(
        np.array(library.ids),
        library.classes,
        ("identity",),
        np.log(np.maximum(blend.oof, 1e-30)).astype(np.float32)[None],
    ).save(paths.predictions)
    write_json(
        paths.ensemble,
        {
            "key": key,
            "version": VERSION,
            "metric": metric,
            "cv": {"score": nested.score, "low": nested.low, "high": nested.high},
            "rows": len(library.y),
            "classes": list(library.classes),
            "views": list(library.views),
            "members": [
                {
                    "run": name,
                    "folder": folds[0].run_paths.root.name,
                    "folds": len(folds),
                    "network": folds[0].network(),
                    "oof": sha256_file(folds[0].run_paths.oof),
                }
                for name, folds in specs.items()
            ],
            "blend": json.loads(blend.to_json()),
        },
    )


def _tell(emit: Emit, config: Config, library: Library, blend: Blend) -> None:
    """Members, plain mean and the choice, each scored out of fold."""
    assert blend.oof is not None
    metric = config.competition.metric
    one_view = library.proba[:, 0]
    lines: list[tuple[str, npt.NDArray[Any]]] = list(zip(library.names, one_view, strict=True))
    lines += [("plain mean", one_view.mean(axis=0)), (f"blend: {blend.method}", blend.oof)]
    rows = []
    for name, proba in lines:
        found = score.interval(metric, library.y, proba, seed=config.ensemble.seed)
        nll = score.score("nll", library.y, proba)
        weight = blend.weights[library.names.index(name)] if name in library.names else ""
        rows.append((name, weight, found.score, f"{found.low:.4f} - {found.high:.4f}", nll))
    header = ("out of fold", "weight", metric, "95 % interval", "nll")
    emit(Event("table", "ensemble", {"header": header, "rows": rows}))
    views = [(name, weight) for name, weight in zip(library.views, blend.views, strict=True)]
    emit(Event("table", "views", {"header": ("view", "weight"), "rows": views}))
    for note in blend.notes:
        emit(Event("say", note))
    last = score.interval(metric, library.y, blend.oof, seed=config.ensemble.seed)
    emit(Event("number", f"blend: {metric} out of fold", {"value": last.score, "low": last.low, "high": last.high}))
