"""``kit ensemble``: blend the runs from their out-of-fold predictions, and keep what was decided."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from kit import score
from kit.blend import Blend, Options, fit
from kit.config import Config
from kit.ensemble.library import Library, costs, fit_on, load_library
from kit.ensemble.show import draw, tell
from kit.errors import StageError
from kit.files import read_json, sha256_file, sha256_json, write_json
from kit.layout import Layout, SubmissionPaths
from kit.records import Emit, Event, FloatArray, Predictions
from kit.runs import FoldSpec, plan_runs
from kit.shift.stressed import is_stressed

VERSION = 1


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
        options=_options(config, library, specs),
        stressed=library.stressed,
        fit_on=fit_on(config, library.stressed is not None),
    )
    if blend.stressed is None:
        emit(Event("warn", "fitted on clean rows alone: not every run was stressed; kit stress"))
    paths = found or layout.submission(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{key[:8]}")
    tell(emit, config.competition.metric, config.ensemble.seed, library, blend)
    draw(paths, library, blend)
    _write(paths, config, specs, key, library, blend)
    emit(Event("wrote", "", {"paths": [paths.ensemble]}))
    return paths


def _options(config: Config, library: Library, specs: dict[str, list[FoldSpec]]) -> Options:
    settings, zipped = config.ensemble, config.bundle
    halves = zipped.max_mb is not None and zipped.half_precision is not False
    seconds, megabytes = costs(specs, half=halves)
    longest = _least(settings.max_seconds_per_1000, zipped.seconds_per_1000)
    if longest is not None and seconds is None:
        raise StageError("the time to predict is limited, but not every fold was timed", "kit train --force")
    return Options(
        members=library.names,
        views=library.views,
        classes=library.classes,
        rows=library.ids,
        max_members=settings.max_members,
        max_views=settings.max_views,
        max_seconds_per_1000=longest,
        max_bundle_mb=_least(settings.max_bundle_mb, zipped.weights_mb),
        seconds_per_1000=seconds,
        mb=megabytes,
    )


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


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
    settings = config.ensemble.model_dump(mode="json") | config.bundle.limits()
    inputs: dict[str, Any] = {"version": VERSION, "oof": oof, "ensemble": settings, "metric": config.competition.metric}
    if all(is_stressed(folds, config) for folds in specs.values()):
        inputs["stressed"] = {name: sha256_file(folds[0].run_paths.stress) for name, folds in specs.items()}
    return sha256_json(inputs)


def find_submission(layout: Layout, key: str) -> SubmissionPaths | None:
    """The candidate that was made for ``key``, if there is one."""
    for folder in sorted(layout.submissions.glob(f"*-{key[:8]}")):
        paths = layout.submission(folder.name)
        if paths.ensemble.exists() and read_json(paths.ensemble)["key"] == key:
            return paths
    return None


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
    _save(paths.predictions, library, blend.oof)
    if blend.stressed_oof is not None:
        _save(paths.stressed_predictions, library, blend.stressed_oof)
    write_json(
        paths.ensemble,
        {
            "key": key,
            "version": VERSION,
            "metric": metric,
            "cv": _interval(config, library, blend.oof),
            "stressed": None if blend.stressed_oof is None else _interval(config, library, blend.stressed_oof),
            "fit_on": blend.fit_on,
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


def _interval(config: Config, library: Library, proba: FloatArray) -> dict[str, float]:
    found = score.interval(config.competition.metric, library.y, proba, seed=config.ensemble.seed)
    return {"score": found.score, "low": found.low, "high": found.high}


def _save(path: Path, library: Library, proba: FloatArray) -> None:
    logits = np.log(np.maximum(proba, 1e-30)).astype(np.float32)[None]
    Predictions(np.array(library.ids), library.classes, ("identity",), logits).save(path)
