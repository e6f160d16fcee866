"""Plan the folds to stress, run what is missing, one process each, and join their predictions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kit.base.arrays import ImageArray
from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import DataError
from kit.images.corrupt import FAMILIES, SEVERITIES, corrupt
from kit.images.corrupt.plan import CLEAN, assign, grid_ids, plan_of, sampled, split
from kit.judge import score
from kit.judge.seen import seen_of
from kit.runs.engine import opened
from kit.runs.results import PredictionSpec, is_complete, load_oof, require_joined, require_weights, unless_damaged
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import StressedRun, StressScores, fold_lineage, run_lineage, stressed_fold, stressed_run
from kit.runs.units import Launch, Unit, locked, run_units, terminable, unit_name
from kit.show.figures import heat, standalone
from kit.show.figures.sheets import Tile, png, sheet
from kit.store.data import Index, load_images, load_index
from kit.store.files import lock, read_csv, write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.predictions import Predictions, join, load_predictions
from kit.store.record import Figure, digests_of


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

    Raises `StageError` where a run is not trained on every fold, or another process works on it; `TrainingError` where
    a fold failed, after the others have finished; `DataError` where ``[stress]`` names a family that there is not.
    """
    plan = plan_of(config.stress)
    plan.check()
    with terminable(), lock(layout.data_lock, "data/", shared=True):
        specs, index = plan_runs(layout, config, runs), load_index(layout)
        every = [spec for folds in specs.values() for spec in folds]
        for folds in specs.values():
            require_joined(folds, index)
        with locked([folds[0].run_paths for folds in specs.values()]):
            missing = [
                spec for spec in every if force or not unless_damaged(partial(stressed_fold, spec, plan, index), emit)
            ]
            for spec in missing:
                require_weights(spec)
                spec.paths.stress_record.unlink(missing_ok=True)
                told = PredictionSpec(fold=spec, made_from=fold_lineage(spec, plan, index), plan=plan)
                told.save(spec.paths.stress_spec)
            if missing:
                emit(Event("plan", "", {"epochs": {unit_name(spec): 1 for spec in missing}}))
                units = [Unit("stress", spec) for spec in missing]
                with opened(layout, config, launch) as engine:
                    run_units(units, config, emit, engine)
            for folds in specs.values():
                _join(folds, config, index, emit)
            if not missing:
                emit(Event("fresh", "stress", {"stage": "stress"}))


def stress_if_possible(layout: Layout, config: Config, emit: Emit, launch: Launch | None = None) -> None:
    """Stress those runs of the ensemble that are trained and lack it; where weights are not at hand, say so."""
    index = load_index(layout)
    specs = plan_runs(layout, config, config.ensemble_runs())
    if not all(is_complete(folds, index) for folds in specs.values()):
        return  # the ensemble itself will say what is missing
    wanted = {name: folds for name, folds in specs.items() if stressed_run(folds, config, index) is None}
    away = [name for name, folds in wanted.items() if not all(spec.paths.weights.exists() for spec in folds)]
    if away:
        emit(Event("warn", f"no score under stress: the weights of {', '.join(away)} are missing"))
    elif wanted:
        stress(layout, config, emit, runs=tuple(wanted), launch=launch)


def tell_known(layout: Layout, config: Config, emit: Emit, runs: Sequence[str]) -> None:
    """Say the scores under stress of those runs that have them, and how to get those of the trained others."""
    lacking, index = [], load_index(layout)
    for name, folds in plan_runs(layout, config, runs).items():
        if not is_complete(folds, index):
            continue
        found = stressed_run(folds, config, index)
        if found is None:
            lacking.append(name)
        else:
            tell_scores(emit, config.competition.metric, name, found.scores)
    if lacking:
        emit(Event("say", f"score under stress: kit stress {' '.join(lacking)}"))


def _join(folds: Sequence[FoldSpec], config: Config, index: Index, emit: Emit) -> None:
    """Write the run's files, its record last, unless they are there; then show them."""
    first, paths, metric = folds[0], folds[0].run_paths, config.competition.metric
    record = unless_damaged(lambda: stressed_run(folds, config, index), emit)
    wrote = [] if record else [paths.stress, paths.stress_table]
    if record is None:
        plan, clean = plan_of(config.stress), load_oof(folds, index)
        mixed = join([load_predictions(spec.paths.stress) for spec in folds], first.n, index.ids, index.classes)
        held = set(clean.ids.tolist())
        sample = grid_ids(plan, sampled(plan, [one for one in index.ids if one in held]))
        single = join([load_predictions(spec.paths.stress_grid) for spec in folds], first.n, sample, index.classes)
        severity = round(float(assign(plan, mixed.ids, plan.seed).severity.mean()), 2)
        every, both = seen_of(metric, index, mixed.ids), (clean.take(mixed.ids).first, mixed.first)
        before, after = (score.score(metric, every.y, every.of(proba)) for proba in both)
        whole = (MIXTURE, severity, len(mixed.ids), after, _drop(metric, before, after))
        cells = [*cell_rows(metric, index, clean, single), whole]
        mixed.save(paths.stress)
        single.save(paths.stress_grid)
        write_csv(paths.stress_table, HEADER, cells)
        made_from = run_lineage(folds, plan, index, metric)
        assert made_from is not None  # every fold was stressed just now
        files = digests_of(paths.root, paths.stress, paths.stress_grid, paths.stress_table)
        scores = summary(metric, index, clean, mixed, config.stress.seed)
        record = StressedRun(made_from=made_from, files=files, metric=metric, plan=plan, scores=scores)
        record.save(paths.stress_manifest)
    lines = read_csv(paths.stress_table)
    if wrote or not paths.stress_picture.exists():
        picture = heat.losses(heat.drops(lines), metric, first.run)
        wrote.append(write_atomic(paths.stress_picture, standalone(picture)))
        emit(Event("wrote", "", {"paths": wrote}))
    tell(emit, metric, first.run, [tuple(line.values()) for line in lines], record.scores)


MIXTURE = "mixture"
HEADER = ("family", "severity", "rows", "score", "drop")
PICTURES = 15


def cell_rows(metric: str, index: Index, clean: Predictions, found: Predictions) -> list[tuple[Any, ...]]:
    """(family, severity, rows, score, drop) of every cell of the grid; the drop is against the same rows clean."""
    ids, families, severities = split(found.ids)
    sample = clean.take(list(dict.fromkeys(ids)))

    def scored(rows: Sequence[str], proba: Any) -> float:
        part = seen_of(metric, index, rows)
        try:
            return score.score(metric, part.y, part.of(proba))
        except DataError:  # as of an AUC where the sample is of one class
            return float("nan")

    before = scored(sample.ids.tolist(), sample.first)
    rows = [(CLEAN, 0, len(sample.ids), before, 0.0)]
    for family in dict.fromkeys(families.tolist()):
        for degree in SEVERITIES:
            here = np.flatnonzero((families == family) & (severities == degree))
            after = scored([ids[row] for row in here], found.first[here])
            rows.append((family, degree, len(here), after, _drop(metric, before, after)))
    return rows


def _drop(metric: str, before: float, after: float) -> float:
    sign = score.lookup(metric).sign
    return sign * before - sign * after


def summary(metric: str, index: Index, clean: Predictions, found: Predictions, seed: int) -> StressScores:
    """Scores with 95 % intervals: clean, stressed, and how much worse that is, in pairs over the rows."""
    every = seen_of(metric, index, found.ids)
    y, groups = every.y, every.groups
    before, after = every.of(clean.take(found.ids).first), every.of(found.first)
    first, second = (before, after) if score.lookup(metric).measure.greater_is_better else (after, before)
    return StressScores(
        clean=score.interval(metric, y, before, seed=seed, groups=groups).figure,
        stressed=score.interval(metric, y, after, seed=seed, groups=groups).figure,
        drop=score.difference(metric, y, first, second, seed=seed, groups=groups).figure,
    )


def tell(emit: Emit, metric: str, name: str, rows: Sequence[Sequence[Any]], scores: StressScores) -> None:
    """The run's scores by family and severity, then clean and stressed over all held-out rows."""
    cells = {(row[0], int(row[1])): float(row[3]) for row in rows if row[0] != MIXTURE}
    families = list(dict.fromkeys(family for family, _ in cells if family != CLEAN))
    lines = [(family, *(cells[family, degree] for degree in SEVERITIES)) for family in families]
    title = f"{name}: {metric} of {rows[0][2]} held-out rows by severity, {float(rows[0][3]):.4f} clean"
    emit(Event("table", title, {"header": ("family", *map(str, SEVERITIES)), "rows": lines}))
    tell_scores(emit, metric, name, scores)


def tell_scores(emit: Emit, metric: str, name: str, scores: StressScores) -> None:
    """Clean, stressed and the drop, each with its interval."""
    for kind in ("clean", "stressed", "drop"):
        found: Figure = getattr(scores, kind)
        what = "drop from clean to stressed" if kind == "drop" else f"{metric} out of fold, {kind}"
        data = {"value": found.score, "low": found.low, "high": found.high, "run": name, "rows": kind}
        emit(Event("number", f"{name}: {what}", data))


def corruption_sheet(layout: Layout, config: Config, emit: Emit) -> Path:
    """Write ``runs/corruptions.png``: a row for every family, a column for every severity from 0."""
    index, plan = load_index(layout), plan_of(config.stress)
    chosen = set(sampled(plan, index.ids)[:PICTURES])
    rows = [row for row, name in enumerate(index.ids) if name in chosen]
    picture = contact_sheet(np.asarray(load_images(layout)[rows]), plan.seed)
    path = write_atomic(layout.corruptions_picture, png(picture))
    emit(Event("wrote", "", {"paths": [path]}))
    return path


def contact_sheet(images: ImageArray, seed: int = 0) -> Image.Image:
    """A row for every family, a column for severities 0 to 5; rows take the images in turn."""
    rows = []
    for row, family in enumerate(FAMILIES):
        image, drawn = images[row % len(images)][None], np.array([seed + row])
        made = [corrupt(image, family, degree, drawn)[0] for degree in (0, *SEVERITIES)]
        rows.append([Tile(one, f"{family} {degree}") for degree, one in enumerate(made)])
    return sheet(rows, "Corruptions by severity")
