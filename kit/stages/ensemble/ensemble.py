"""``kit ensemble``: blend the runs from their out-of-fold predictions, and keep what was decided."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from kit.base.arrays import FloatArray
from kit.base.events import Emit, Event, silent
from kit.config import Config
from kit.errors import StageError
from kit.judge.blend import Blend, Options
from kit.runs.costs import megabytes, seconds_per_1000
from kit.runs.results import require, require_joined, require_weights, unless_damaged
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import stressed_run
from kit.runs.units import locked
from kit.stages.ensemble.library import Library, blended, fit_on, load_library
from kit.stages.ensemble.summary import draw, tell
from kit.store.candidate import Ensemble, Member, StoredBlend
from kit.store.data import Index, load_index
from kit.store.files import lock, sha256_json
from kit.store.layout import Layout, SubmissionPaths
from kit.store.partition import load_folds
from kit.store.predictions import Predictions
from kit.store.record import Digests, digests_of

# Raised whenever the same predictions would be blended otherwise.
VERSION = 8
STAMP = "%Y%m%dT%H%M%SZ"

Runs = dict[str, list[FoldSpec]]
Costs = tuple[list[float] | None, list[float]]
"""Of each member seconds per 1,000 images and view, None where a fold was not timed, and megabytes."""


def ensemble(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> SubmissionPaths:
    """Fit the blend of the configured runs and write ``submissions/<utc>-<sha8>/ensemble.json``.

    Returns the new candidate, or the existing one for the same predictions and configuration.

    Raises `StageError` where a run is not trained on every fold.
    """
    with lock(layout.data_lock, "data/", shared=True):
        specs = plan_runs(layout, config, config.ensemble_runs())
        with locked([folds[0].run_paths for folds in specs.values()], shared=True):
            spent = costs(config, specs)
            made_from = lineage(layout, config, specs, spent)
            found = find_submission(layout, made_from, emit)
            if found is None or force:
                with lock(layout.ensemble_lock, "the ensemble", wait=True):
                    # Another process may have made it while this one waited.
                    found = find_submission(layout, made_from, silent)
                    if found is None or force:
                        return _make(layout, config, specs, made_from, spent, found, emit)
    emit(Event("fresh", "ensemble", {"stage": "ensemble", "submission": found.root.name}))
    return found


def costs(config: Config, specs: Runs) -> Costs | None:
    """What the members cost, each with all its folds; None without limits, where their weights need not be here."""
    settings, zipped = config.ensemble, config.bundle
    if not any((settings.max_seconds_per_1000, settings.max_bundle_mb, zipped.max_mb, zipped.max_seconds)):
        return None
    for spec in [spec for folds in specs.values() for spec in folds]:
        require_weights(spec)
    half = zipped.max_mb is not None and zipped.half_precision is not False
    members = [[spec.paths for spec in folds] for folds in specs.values()]
    seconds = [seconds_per_1000(folds) for folds in members]
    timed = [value for value in seconds if value is not None]
    return timed if len(timed) == len(seconds) else None, [megabytes(folds, half=half) for folds in members]


def _fitted(config: Config, library: Library, spent: Costs | None) -> Blend:
    """The blend of the members, within the limits of ``[ensemble]`` and ``[bundle]``."""
    settings, zipped = config.ensemble, config.bundle
    seconds, sizes = spent or (None, None)
    longest = _least(settings.max_seconds_per_1000, zipped.seconds_per_1000)
    if longest is not None and seconds is None:
        raise StageError("the time to predict is limited, but not every fold was timed", "kit train --force")
    options = Options(
        members=library.names,
        views=library.views,
        classes=library.classes,
        rows=library.ids,
        max_members=settings.max_members,
        max_views=settings.max_views,
        max_seconds_per_1000=longest,
        max_bundle_mb=_least(settings.max_bundle_mb, zipped.weights_mb),
        seconds_per_1000=seconds,
        mb=sizes,
    )
    return blended(library, config, options, fit_on(config, library.stressed is not None))


def _least(*limits: float | None) -> float | None:
    return min((limit for limit in limits if limit is not None), default=None)


def lineage(layout: Layout, config: Config, specs: Runs, spent: Costs | None) -> Digests:
    """What the blend is made from, ``spent`` being the `costs` of its members.

    Raises `StageError` where a run has folds without predictions.
    """
    index = load_index(layout)
    stressed = {name: stressed_run(folds, config, index) for name, folds in specs.items()}
    rows = fit_on(config, all(stressed.values()))
    settings = config.ensemble.model_dump(mode="json", exclude={"runs", "fit_on"})
    if not settings["unknown"]:
        del settings["unknown"]  # blends of earlier kits stay fresh
    found = {
        "ensemble": str(VERSION),
        "labels": index.parts["labels"],
        "groups": index.parts["groups"],
        "classes": index.parts["classes"],
        "folds": load_folds(layout, config, index).digest,
        "metric": config.competition.metric,
        "settings": sha256_json([list(specs), rows, settings, config.bundle.limits()]),
    }
    for name, folds in specs.items():
        member = _member(name, folds, index)
        found[f"run {name}"] = sha256_json([member.folder, member.oof, member.weights])
    if all(stressed.values()):
        found |= {f"stressed {name}": run.files["stress.npz"] for name, run in stressed.items() if run is not None}
    return found if spent is None else {**found, "costs": sha256_json(spent)}


def _member(name: str, folds: list[FoldSpec], index: Index) -> Member:
    paths = folds[0].run_paths
    return Member(
        run=name,
        folder=paths.root.name,
        folds=len(folds),
        network=folds[0].network,
        oof=require_joined(folds, index).files[paths.oof.name],
        weights=tuple(require(spec).files[spec.paths.weights.name] for spec in folds),
    )


def find_submission(layout: Layout, made_from: Digests, emit: Emit) -> SubmissionPaths | None:
    """The newest candidate that was made from just this; one that was changed by something else is none any more."""
    for folder in sorted(layout.submissions.glob(f"*-{sha256_json(made_from)[:8]}"), reverse=True):
        paths = layout.submission(folder.name)
        if unless_damaged(partial(Ensemble.fresh, paths.ensemble, made_from), emit) is not None:
            return paths
    return None


def _make(
    layout: Layout,
    config: Config,
    specs: Runs,
    made_from: Digests,
    spent: Costs | None,
    known: SubmissionPaths | None,
    emit: Emit,
) -> SubmissionPaths:
    """Fit, show and write a blend; a candidate that says the same already is kept, and none is ever overwritten."""
    library = load_library(layout, config, specs)
    blend = _fitted(config, library, spent)
    if blend.stressed is None:
        emit(Event("warn", "fitted on clean rows only, as not every run has stressed predictions; run `kit stress`"))
    cv, stressed = tell(emit, config, library, blend)
    stored = StoredBlend.model_validate_json(blend.to_json())
    if known is not None and Ensemble.load(known.ensemble).blend == stored:
        emit(Event("say", f"the new blend is the same as that of {known.root.name}"))
        return known
    paths = _unused(layout, made_from)
    draw(paths, library, blend)
    kept = {paths.predictions: blend.oof, paths.stressed_predictions: blend.stressed_oof}
    files = [_save(path, library, proba) for path, proba in kept.items() if proba is not None]
    Ensemble(
        made_from=made_from,
        files=digests_of(paths.root, *files),
        metric=config.competition.metric,
        cv=cv,
        stressed=stressed,
        decided=blend.decision_worth,
        fit_on=blend.fit_on,
        rows=len(library.ids),
        classes=library.classes,
        views=library.views,
        members=tuple(_member(name, folds, load_index(layout)) for name, folds in specs.items()),
        blend=stored,
    ).save(paths.ensemble)
    emit(Event("wrote", "", {"paths": [paths.ensemble]}))
    return paths


def _unused(layout: Layout, made_from: Digests) -> SubmissionPaths:
    """A new folder whose name, which begins with a time in seconds, sorts after all others: the last is the latest."""
    times = [datetime.now(UTC)]
    for folder in layout.submissions.glob("*Z-*"):
        with suppress(ValueError):
            times.append(datetime.strptime(folder.name[:16], STAMP).replace(tzinfo=UTC) + timedelta(seconds=1))
    return layout.submission(f"{max(times):{STAMP}}-{sha256_json(made_from)[:8]}")


def _save(path: Path, library: Library, proba: FloatArray) -> Path:
    logits, several = np.log(np.maximum(proba, 1e-30)), library.task.several
    if several:
        logits -= np.log(np.maximum(1 - proba, 1e-30))
    words = np.array(library.ids), library.classes, ("identity",)
    return Predictions(*words, logits.astype(np.float32)[None], several).save(path)
