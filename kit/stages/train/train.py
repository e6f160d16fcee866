"""Plan the units of training, run what is missing, one process each, and join their predictions."""

import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import groupby

import numpy as np

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import TrainingError
from kit.judge.metrics import confusion
from kit.judge.score import row_values
from kit.judge.seen import WATCHED, seen_of
from kit.runs import results
from kit.runs.engine import opened
from kit.runs.results import PredictedRecord, PredictionSpec, RunRecord, histories, unless_damaged
from kit.runs.spec import FoldSpec, plan_runs, with_teachers
from kit.runs.units import Launch, Unit, locked, run_units, terminable, unit_name
from kit.runtime.forward import mean_of_folds
from kit.show.figures import heat, standalone
from kit.show.figures.curves import learning_curves
from kit.stages.train.checkpoint import delete
from kit.stages.train.features import feature_files, features_complete
from kit.stages.train.plan import ordered, plan_event, plan_run, with_timings
from kit.stages.train.steering import check_metrics
from kit.stages.train.tensorboard import Curves
from kit.store.data import Index, UnlabelledRecord, load_index, unlabelled_record
from kit.store.files import lock, write_atomic
from kit.store.layout import Layout
from kit.store.predictions import join, load_predictions
from kit.store.record import digests_of


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
    """Train every missing fold of the named runs (by default all) and of their teachers, and join their predictions.

    ``launch`` runs one unit to its end; by default as ``[engine]`` says. ``pictures`` are drawn of runs that are
    complete and have none yet.

    Raises `TrainingError` where a unit failed, after the others have finished. Raises `StageError` where another
    process trains the same run.
    """
    with terminable(), lock(layout.data_lock, "data/", shared=True):
        named = runs or tuple(config.runs)
        specs = plan_runs(layout, config, with_teachers(config, named))
        for folds in specs.values():
            check_metrics(folds[0].settings)
        with locked([folds[0].run_paths for folds in specs.values()]):
            wanted = [spec for folds in specs.values() for spec in folds if fold is None or spec.fold == fold]
            missing = []
            for spec in wanted:  # a student comes after its teachers, and is not trained where one of them is not
                if (force and spec.run in named) or results.trained(spec) is None:
                    spec.paths.record.unlink(missing_ok=True)
                    spec.save(spec.paths.spec)
                    missing.append(spec)
            units = [*missing, *_unpredicted(layout, [spec for spec in wanted if spec not in missing], emit)]
            if units:
                _say_enlarged(missing, emit)
                with opened(layout, config, launch) as engine:
                    if missing:
                        _train_missing(config, missing, emit, engine)
                    run_units([Unit("test", spec) for spec in units[len(missing) :]], config, emit, engine)
            index = load_index(layout)
            for folds in specs.values():
                if all(results.trained(spec) for spec in folds):
                    for spec in folds:
                        delete(spec.paths)  # left where the process died right after its last file
                    _finish(folds, index, emit, pictures=pictures)
            if not units:
                emit(Event("fresh", "train", {"stage": "train"}))


def _say_enlarged(missing: Sequence[FoldSpec], emit: Emit) -> None:
    for spec in {spec.run: spec for spec in missing}.values():
        if max(spec.sizes) > spec.size:
            said = f"run `{spec.run}` sees {max(spec.sizes)} px, but images are stored with {spec.size}"
            emit(Event("say", f"{said}: they are enlarged, which adds no detail"))


def _unpredicted(layout: Layout, specs: Sequence[FoldSpec], emit: Emit) -> list[FoldSpec]:
    """Trained folds that have not predicted the present test images, told what to do; weights that are away stay so."""
    test, found = unlabelled_record(layout, "test"), []
    if test is None:
        return []
    for spec in specs:
        if not spec.paths.weights.exists() or unless_damaged(partial(results.predicted, spec, test), emit) is not None:
            continue
        made_from = results.lineage_of_test(spec, results.require_weights(spec), test)
        PredictionSpec(fold=spec, made_from=made_from).save(spec.paths.test_spec)
        spec.paths.test_record.unlink(missing_ok=True)
        found.append(spec)
    return found


def _train_missing(config: Config, specs: Sequence[FoldSpec], emit: Emit, launch: Launch) -> None:
    """Features that are missing, each set once, then the folds that read them."""
    by_views = sorted(specs, key=lambda spec: len(feature_files(spec)))
    # Of runs that share features the one with the most views, which comes last.
    cached = {feature_files(spec)[0]: spec for spec in by_views if feature_files(spec)}
    features = [Unit("features", spec) for spec in cached.values() if not features_complete(spec)]
    run_units(features, config, emit, launch)
    reads = [
        [file for path in feature_files(spec) for file in (path, path.with_suffix(".json"))]
        + [file for teacher in spec.taught_by for file in (teacher.paths.record, teacher.paths.weights)]
        for spec in specs
    ]
    folds = [Unit("fold", spec, tuple(files)) for spec, files in zip(specs, reads, strict=True)]
    plans = [plan_run(list(group)) for _, group in groupby(specs, lambda spec: spec.run)]
    firsts = [plan.folds[0] for plan in plans if plan.worth_measuring]
    unknown = [replace(unit, kind="measure") for unit in folds if unit.spec in firsts]
    with suppress(TrainingError):  # the folds will say the same
        run_units(unknown, config, emit, launch)
    plans, places = [with_timings(plan) for plan in plans], min(launch.places(config), len(folds))
    emit(plan_event(plans, places))
    if places > 1:  # one after the other, a run is better whole before the next one begins
        folds = ordered(folds, plans)
    named = {unit_name(spec): spec for spec in specs}
    hear = Curves(emit, named) if config.train.tensorboard else emit
    for generation in sorted({unit.spec.generation for unit in folds}):
        run_units([unit for unit in folds if unit.spec.generation == generation], config, hear, launch)


def _finish(folds: Sequence[FoldSpec], index: Index, emit: Emit, *, pictures: bool) -> None:
    """Join a run whose folds are all trained, draw it and say how good it is."""
    first, paths = folds[0], folds[0].run_paths
    record = unless_damaged(lambda: results.joined(folds, index), emit)
    stale = record is None
    record = record or _join(folds, index)
    if (test := unlabelled_record(first.layout, "test")) is not None:
        _join_test(folds, index, test, emit)
    oof = results.load_oof(folds, index)
    if pictures and (stale or not (paths.curves.exists() and paths.confusion.exists())):
        curves = learning_curves(first.run, histories(paths, record), first.settings)
        write_atomic(paths.curves, standalone(*curves))
        flat = index.flat(oof.ids)
        counts = confusion(flat.y, flat.logits(oof.logits[0]))
        write_atomic(paths.confusion, standalone(heat.confusion(counts, flat.classes, first.run)))
        emit(Event("wrote", "", {"paths": [paths.curves, paths.confusion]}))
    found, metric = {"": oof}, WATCHED.get(index.task.kind, "accuracy")
    if first.settings.validate_augment:
        parts = [load_predictions(spec.paths.valid_augmented) for spec in folds]
        found[", augmented rows"] = join(parts, first.n, index.ids, index.classes)
    for what, predictions in found.items():
        every = seen_of(metric, index, predictions.ids)
        values = row_values(metric, every.y, every.of(predictions.first))
        error = float(values.std()) / len(predictions.ids) ** 0.5
        data = {"value": float(values.mean()), "error": error, "run": first.run}
        emit(Event("number", f"{first.run}: {metric} out of fold{what}", data))


def _join(folds: Sequence[FoldSpec], index: Index) -> RunRecord:
    """Write ``oof.npz`` and ``run.json``."""
    first, paths = folds[0], folds[0].run_paths
    join([load_predictions(spec.paths.valid) for spec in folds], first.n, index.ids, index.classes).save(paths.oof)
    record = RunRecord(
        made_from=results.run_lineage(folds, index),
        files=digests_of(paths.root, paths.oof),
        run=first.run,
        config=first.settings,
        classes=index.classes,
        n_folds=first.n,
        repeats=len(folds) // first.n,
        versions={**results.require(first).versions, "python": platform.python_version()},
    )
    record.save(paths.manifest)
    return record


def _join_test(folds: Sequence[FoldSpec], index: Index, test: UnlabelledRecord, emit: Emit) -> None:
    """Write ``test.npz`` and ``test.json`` of a run, the mean of its folds, where all have predicted the test."""
    paths, made_from = folds[0].run_paths, results.run_lineage_of_test(folds, index, test)
    if made_from is None:
        return
    if unless_damaged(lambda: PredictedRecord.fresh(paths.test_record, made_from), emit):
        return
    parts = [load_predictions(spec.paths.test) for spec in folds]
    mean = mean_of_folds(np.stack([part.logits for part in parts]), parts[0].several)
    replace(parts[0], classes=index.classes, logits=mean).save(paths.test)
    PredictedRecord(made_from=made_from, files=digests_of(paths.root, paths.test)).save(paths.test_record)
