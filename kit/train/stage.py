"""Plan the units of training, run what is missing, one process each, and join their predictions."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from importlib.metadata import version
from itertools import groupby

import numpy as np

from kit.config import Config
from kit.data import load_index
from kit.engine import opened
from kit.errors import TrainingError
from kit.files import read_json, sha256_file, write_atomic, write_json
from kit.layout import Layout
from kit.metrics import confusion
from kit.partition import load_folds
from kit.records import Emit, Event, IntArray, Predictions, load_predictions
from kit.runs import FoldSpec, join_folds, plan_runs
from kit.runtime.forward import mean_of_folds
from kit.train.checkpoint import delete
from kit.train.features import all_feature_files, feature_key, views_of
from kit.train.pictures import confusion_matrix, learning_curves, read_curves
from kit.train.plan import ordered, plan_event, plan_run, with_timings
from kit.train.tensorboard import Curves
from kit.train.watch import watched_metrics
from kit.units import Launch, Unit, locked, run_units, terminable, unit_name

PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "scikit-learn")


def train(
    layout: Layout,
    config: Config,
    emit: Emit,
    *,
    runs: Sequence[str] = (),
    fold: int | None = None,
    force: bool = False,
    launch: Launch | None = None,
    pictures: bool = True,
) -> None:
    """Train every missing fold of the named runs (all of them by default) and join their predictions.

    ``launch`` runs one unit to its end; by default as ``[engine]`` says. ``pictures`` are drawn of runs that are
    complete and have none yet.

    Raises
    ------
    TrainingError
        Where a unit failed, after the others have finished.
    StageError
        Where another process trains the same run.
    """
    specs = plan_runs(layout, config, runs)
    for folds in specs.values():
        watched_metrics(folds[0].settings)
    with terminable(), locked([folds[0].run_paths for folds in specs.values()]):
        wanted = [spec for folds in specs.values() for spec in folds if fold is None or spec.fold == fold]
        missing = [spec for spec in wanted if force or not spec.paths.valid.exists()]
        if missing:
            _prepare(layout, config, missing, force)
            with opened(layout, config) if launch is None else nullcontext(launch) as engine:
                _train_missing(config, missing, emit, engine)
        for name, folds in specs.items():
            if all(spec.paths.valid.exists() for spec in folds):
                for spec in folds:
                    delete(spec.paths)  # left where the process died right after its last file
                joined = _join(layout, folds)
                if pictures and (joined or not folds[0].run_paths.confusion.exists()):
                    _draw(layout, name, folds, emit)
                _tell(layout, name, folds, emit)
        if not missing:
            emit(Event("fresh", "train", {"stage": "train"}))


def _prepare(layout: Layout, config: Config, specs: Sequence[FoldSpec], force: bool) -> None:
    """Write the runs' manifests and the units' descriptions."""
    folds = load_folds(layout, config, load_index(layout))
    for spec in specs:
        if force:
            spec.paths.valid.unlink(missing_ok=True)
        write_json(spec.paths.spec, spec.to_json())
        write_json(
            spec.run_paths.manifest,
            {
                "key": spec.key,
                "run": spec.run,
                "config": spec.config,
                "classes": list(spec.classes),
                "data": spec.data,
                "folds": folds.sha256,
                "n_folds": folds.n,
                "repeats": len(folds.table),
                "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            },
        )


def _units(specs: Sequence[FoldSpec]) -> list[list[Unit]]:
    """Units in two waves: features that are missing, each set once, then the folds that read them."""
    cached = {  # of runs that share features the one with the most views, which comes last
        feature_key(spec): spec
        for spec in sorted(specs, key=lambda spec: max(views_of(spec.settings)))
        if max(views_of(spec.settings)) > 0
    }
    missing = [spec for spec in cached.values() if not all(path.exists() for path in all_feature_files(spec))]
    return [[Unit("features", spec) for spec in missing], [_unit("fold", spec) for spec in specs]]


def _unit(kind: str, spec: FoldSpec) -> Unit:
    return Unit(kind, spec, tuple(all_feature_files(spec)))


def _train_missing(config: Config, specs: Sequence[FoldSpec], emit: Emit, launch: Launch) -> None:
    features, folds = _units(specs)
    run_units(features, config, emit, launch)
    plans = [plan_run(list(group)) for _, group in groupby(specs, lambda spec: spec.run)]
    unknown = [_unit("measure", plan.folds[0]) for plan in plans if plan.worth_measuring]
    with suppress(TrainingError):  # the folds will say the same
        run_units(unknown, config, emit, launch)
    plans, places = [with_timings(plan) for plan in plans], min(launch.places(config), len(folds))
    emit(plan_event(plans, places))
    if places > 1:  # one after the other, a run is better whole before the next one begins
        folds = ordered(folds, plans, places)
    named = {unit_name(spec): spec for spec in specs}
    run_units(folds, config, Curves(emit, named) if config.train.tensorboard else emit, launch)


def _join(layout: Layout, folds: Sequence[FoldSpec]) -> bool:
    """Write ``oof.npz`` and ``test.npz`` of a complete run; its manifest names the first when both are there.

    Returns whether it had to be done.
    """
    paths = folds[0].run_paths
    manifest = read_json(paths.manifest)
    if "oof" in manifest and paths.oof.exists():
        return False
    parts = [load_predictions(spec.paths.valid) for spec in folds]
    join_folds(parts, int(manifest["n_folds"]), load_index(layout).ids).save(paths.oof)
    if folds[0].paths.test.exists():
        parts = [load_predictions(spec.paths.test) for spec in folds]
        mean = mean_of_folds(np.stack([part.logits for part in parts]))
        Predictions(parts[0].ids, parts[0].classes, parts[0].views, mean).save(paths.test)
    write_json(paths.manifest, {**manifest, "oof": sha256_file(paths.oof)})
    return True


def _draw(layout: Layout, name: str, folds: Sequence[FoldSpec], emit: Emit) -> None:
    paths, oof = folds[0].run_paths, load_predictions(folds[0].run_paths.oof)
    curves = read_curves([spec.paths.history for spec in folds])
    write_atomic(paths.curves, learning_curves(curves, name, folds[0].settings))
    counts = confusion(_labels(layout, oof), oof.logits[0])
    write_atomic(paths.confusion, confusion_matrix(counts, oof.classes, name))
    emit(Event("wrote", "", {"paths": [paths.curves, paths.confusion]}))


def _labels(layout: Layout, predictions: Predictions) -> IntArray:
    index = load_index(layout)
    known = dict(zip(index.ids, index.labels.tolist(), strict=True))
    return np.array([known[name] for name in predictions.ids.tolist()], np.int64)


def _tell(layout: Layout, name: str, folds: Sequence[FoldSpec], emit: Emit) -> None:
    paths, index = folds[0].run_paths, load_index(layout)
    found = {"": load_predictions(paths.oof)}
    if folds[0].settings.validate_augment:
        parts = [load_predictions(spec.paths.valid_augmented) for spec in folds]
        found[", augmented rows"] = join_folds(parts, int(read_json(paths.manifest)["n_folds"]), index.ids)
    for what, oof in found.items():
        right = oof.logits[0].argmax(axis=1) == _labels(layout, oof)
        accuracy = float(right.mean())
        error = float(np.sqrt(accuracy * (1 - accuracy) / len(right)))
        emit(Event("number", f"{name}: accuracy out of fold{what}", {"value": accuracy, "error": error, "run": name}))
