"""Plan the folds to stress, run what is missing, one process each, and join their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from kit.config import Config
from kit.corrupt.plan import Plan, grid_ids, plan_of, sampled
from kit.data import load_index
from kit.engine import opened
from kit.errors import StageError
from kit.files import is_fresh, read_csv, read_json, sha256_file, write_atomic, write_csv, write_json
from kit.layout import Layout, RunPaths
from kit.records import Emit, Event, load_predictions
from kit.runs import FoldSpec, join_folds, plan_runs
from kit.shift.stressed import fold_key, is_fold_stressed, is_stressed, run_key
from kit.stress.show import HEADER, cell_rows, heat_map, mixture_row, summary, tell, tell_scores
from kit.units import Launch, Unit, locked, run_units, terminable, unit_name


def stress(
    layout: Layout,
    config: Config,
    emit: Emit,
    *,
    runs: Sequence[str] = (),
    force: bool = False,
    launch: Launch | None = None,
) -> None:
    """Predict the held-out rows of trained runs under the mixture of ``[stress]``, and join the folds.

    Raises
    ------
    StageError
        Where a run is not trained on every fold, or another process works on it.
    TrainingError
        Where a fold failed, after the others have finished.
    DataError
        Where ``[stress]`` names a family that there is not.
    """
    specs, plan = plan_runs(layout, config, runs), plan_of(config.stress)
    _ = plan.mixture
    every = [spec for folds in specs.values() for spec in folds]
    _check_trained(every)
    with terminable(), locked([folds[0].run_paths for folds in specs.values()]):
        missing = [spec for spec in every if force or not is_fold_stressed(spec, plan)]
        if missing:
            for spec in missing:
                spec.paths.stress.unlink(missing_ok=True)
                description = {"key": fold_key(spec, plan), "fold": spec.to_json(), "plan": plan.to_json()}
                write_json(spec.paths.stress_spec, description)
            emit(Event("plan", "", {"epochs": {unit_name(spec): 1 for spec in missing}}))
            units = [Unit("stress", spec) for spec in missing]
            with opened(layout, config) if launch is None else nullcontext(launch) as engine:
                run_units(units, config, emit, engine)
        for name, folds in specs.items():
            _join(layout, config, name, folds, plan, emit)
        if not missing:
            emit(Event("fresh", "stress", {"stage": "stress"}))


def stress_if_possible(layout: Layout, config: Config, emit: Emit) -> None:
    """Stress those runs of the ensemble that are trained and lack it; where weights are not at hand, say so."""
    specs = plan_runs(layout, config, config.ensemble_runs())
    wanted = {name: folds for name, folds in specs.items() if not is_stressed(folds, config)}
    trained = all(spec.paths.valid.exists() and spec.run_paths.oof.exists() for f in wanted.values() for spec in f)
    if not (wanted and trained):
        return  # nothing is missing, or the ensemble itself will say what is
    away = [name for name, folds in wanted.items() if not all(spec.paths.weights.exists() for spec in folds)]
    if away:
        emit(Event("warn", f"no score under stress: the weights of {', '.join(away)} are not here"))
        return
    stress(layout, config, emit, runs=tuple(wanted))


def tell_known(layout: Layout, config: Config, emit: Emit, runs: Sequence[str]) -> None:
    """Say the scores under stress of those runs that have them, and how to get those of the trained others."""
    lacking = []
    for name, folds in plan_runs(layout, config, runs).items():
        if is_stressed(folds, config):
            tell_scores(emit, config.competition.metric, name, read_json(folds[0].run_paths.stress_manifest)["scores"])
        elif folds[0].run_paths.oof.exists():
            lacking.append(name)
    if lacking:
        emit(Event("say", f"score under stress: kit stress {' '.join(lacking)}"))


def _check_trained(specs: Sequence[FoldSpec]) -> None:
    for spec in specs:
        if not (spec.paths.valid.exists() and spec.run_paths.oof.exists()):
            raise StageError(f"fold {spec.fold} of run `{spec.run}` has no predictions", f"kit train {spec.run}")
        if not spec.paths.weights.exists():
            raise StageError(
                f"{spec.paths.weights} is missing", f"kit train {spec.run} --fold {spec.fold} --force, or copy it here"
            )


def _join(layout: Layout, config: Config, name: str, folds: list[FoldSpec], plan: Plan, emit: Emit) -> None:
    """Write the run's files, its manifest last, unless they are there; then show them."""
    paths, metric = folds[0].run_paths, config.competition.metric
    key = run_key(folds, plan, metric)
    outputs = [paths.stress, paths.stress_grid, paths.stress_table, paths.stress_picture]
    if not is_fresh(paths.stress_manifest, key, outputs):
        _write(layout, config, name, folds, plan)
        emit(Event("wrote", "", {"paths": [paths.stress, paths.stress_table, paths.stress_picture]}))
    rows = [tuple(line.values()) for line in read_csv(paths.stress_table)]
    tell(emit, metric, name, rows, read_json(paths.stress_manifest)["scores"])


def _write(layout: Layout, config: Config, name: str, folds: list[FoldSpec], plan: Plan) -> None:
    paths: RunPaths = folds[0].run_paths
    index, metric = load_index(layout), config.competition.metric
    labels = dict(zip(index.ids, index.labels.tolist(), strict=True))
    n = int(read_json(paths.manifest)["n_folds"])
    clean = load_predictions(paths.oof)
    mixed = join_folds([load_predictions(spec.paths.stress) for spec in folds], n, index.ids)
    held = set(clean.ids.tolist())
    sample = sampled(plan, [one for one in index.ids if one in held])
    single = join_folds([load_predictions(spec.paths.stress_grid) for spec in folds], n, grid_ids(plan, sample))
    rows = [*cell_rows(metric, labels, clean, single), mixture_row(metric, labels, clean, mixed, plan)]
    mixed.save(paths.stress)
    single.save(paths.stress_grid)
    write_csv(paths.stress_table, HEADER, rows)
    write_atomic(paths.stress_picture, heat_map(name, metric, rows))
    scores = summary(metric, labels, clean, mixed, config.stress.seed)
    manifest = {
        "key": run_key(folds, plan, metric),
        "metric": metric,
        "plan": plan.to_json(),
        "scores": scores,
        "stress": sha256_file(paths.stress),
    }
    write_json(paths.stress_manifest, manifest)
