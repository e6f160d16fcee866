"""``kit compare``: what the difference between runs is worth, and whether it is one.

What runs said of held-out rows, clean and stressed, is held against each other in pairs, and told.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import StageError
from kit.images.corrupt.plan import plan_of
from kit.judge import score
from kit.judge.seen import seen_of
from kit.runs.results import trained
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import stressed_fold
from kit.runs.sweep import MARK, ONE_VIEW, trained_by, with_variants
from kit.stages.compare.effects import NOTHING, Compared, Proba, Recipe, SeedNoise, compared
from kit.store.data import Index, load_index
from kit.store.files import sha256_json
from kit.store.layout import Layout
from kit.store.predictions import load_predictions
from kit.store.record import Part


def amount(metric: str, value: float) -> str:
    """A signed difference: in points of a hundred where the metric is a share, else as it is."""
    return f"{100 * value:+.2f}" if score.lookup(metric).measure.greater_is_better else f"{value:+.4f}"


def unit(metric: str) -> str:
    """What `amount` counts."""
    return "points" if score.lookup(metric).measure.greater_is_better else metric


def sentence(metric: str, line: Compared, base: str) -> str:
    """One line of plain words on a recipe against the base."""
    found, said, name = line.effect, line.verdict, line.recipe
    if found is None:
        return f"{name} is the baseline"
    span = f"{amount(metric, found.low)} to {amount(metric, found.high)} {unit(metric)}"
    if said == NOTHING:
        return f"{name} against {base}: {NOTHING} ({span})"
    tail = ", but among so many comparisons one may look like this by chance" if said.startswith("perhaps") else ""
    return f"{name} is {said} than {base} by {amount(metric, abs(found.gain))[1:]} {unit(metric)} ({span}){tail}"


def tell(emit: Emit, metric: str, kind: str, rows: int, lines: Sequence[Compared], noise: SeedNoise) -> None:
    """Every recipe against the first on one kind of rows, as a table and in words, and how far seeds move scores."""
    base = lines[0].recipe
    header = ("recipe", "seeds", metric, "between seeds", f"gain ({unit(metric)})", "95 % interval", "")
    cells = []
    for line in lines:
        spread = "" if line.between_seeds is None else f"{line.between_seeds:.4f}"
        told = ("", "", "")
        if (found := line.effect) is not None:
            span = f"{amount(metric, found.low)} to {amount(metric, found.high)}"
            told = (amount(metric, found.gain), span, line.verdict)
        cells.append((line.recipe, len(line.runs), line.score, spread, *told))
    emit(Event("table", f"{rows} {kind} held-out rows, against {base}", {"header": header, "rows": cells}))
    for line in lines[1:]:
        emit(Event("say", f"{kind}: {sentence(metric, line, base)}"))
    if noise.deviation is not None:
        many = f"{noise.freedom + 1} runs" if noise.freedom == 1 else f"{noise.freedom} differences"
        spread = amount(metric, noise.deviation)[1:]
        emit(Event("say", f"scores vary by {spread} {unit(metric)} between seeds (standard deviation, from {many})"))
    else:
        emit(Event("warn", "every recipe has one seed: intervals cover the noise of the rows, not that of retraining"))
        emit(Event("say", f"to measure that too, train a run that differs from {base} only in `seed` and name it here"))


Done = Callable[[FoldSpec], Path | None]


class Judged(Part):
    """A comparison on one kind of rows."""

    metric: str
    rows: int
    seed_noise: float | None
    recipes: tuple[Compared, ...]


class Comparison(Part):
    """The rows as they are and, where more than one recipe was stressed, under stress."""

    clean: Judged
    stressed: Judged | None = None


def compare(
    layout: Layout, config: Config, emit: Emit, runs: Sequence[str], *, metric: str = "", partial: bool = False
) -> Comparison:
    """Compare every run with the first, on the rows that all of them held out, clean and where all were stressed.

    Runs that differ in their seed alone are one recipe. A run's probabilities are the mean over its views. ``runs`` are
    names, also such as ``b0~no-cutmix``; see `kit.runs.sweep`. With ``partial``, what is not trained on the folds of
    the first run is left out, and said to be, instead of refused.

    Raises `ConfigError` where a run does not exist, `StageError` where fewer than two recipes are left or a run is not
    trained on a fold that another one is, and `DataError` where the metric does not exist.
    """
    metric, config = metric or config.competition.metric, with_variants(config, runs)
    score.lookup(metric)
    specs = plan_runs(layout, config, sorted({trained_by(name) for name in runs}))
    members = {name: specs[trained_by(name)] for name in dict.fromkeys(runs)}
    index = load_index(layout)
    plan = plan_of(config.stress)

    def as_it_is(spec: FoldSpec) -> Path | None:
        return spec.paths.valid if trained(spec) else None

    def under_stress(spec: FoldSpec) -> Path | None:
        return spec.paths.stress if stressed_fold(spec, plan, index) else None

    clean = _kept(members, as_it_is, emit if partial else None)
    report = Comparison(clean=_judged("clean", index, config, clean, as_it_is, metric, emit))
    stressed = {name: folds for name, folds in clean.items() if any(map(under_stress, folds))}
    if len(_recipes(config, stressed)) > 1:
        stressed = _kept(stressed, under_stress, emit)
    if len(_recipes(config, stressed)) > 1:  # of some, not every fold that the first one has was stressed
        found = _judged("stressed", index, config, stressed, under_stress, metric, emit)
        report = Comparison(clean=report.clean, stressed=found)
    if len(stressed) < len(clean):
        left = [name for name in clean if name not in stressed]
        command = f"kit stress {' '.join(dict.fromkeys(map(trained_by, left)))}"
        emit(Event("say", f"not compared under stress: {', '.join(left)}; run `{command}`"))
    return report


def gains(found: Comparison, emit: Emit) -> bool:
    """Whether the second of two runs is better under stress by more than the standard error of the pairs; says so."""
    assert found.stressed is not None
    (base, line), metric = found.stressed.recipes, found.stressed.metric
    assert line.effect is not None
    kept = line.effect.gain > line.effect.rows
    gain = f"{amount(metric, line.effect.gain)} +- {amount(metric, line.effect.rows)[1:]} {unit(metric)} under stress"
    said = f'to blend it: [ensemble] runs = ["{line.recipe}", ...]' if kept else f"{base.recipe} stays the last round"
    emit(Event("say", f"{line.recipe} is {'kept' if kept else 'not kept'}: {gain} against {base.recipe}; {said}"))
    return kept


def _kept(members: dict[str, list[FoldSpec]], done: Done, skip: Emit | None) -> dict[str, list[FoldSpec]]:
    """The folds of each run on which all are compared: those of the first, or where nothing is skipped of any."""
    first = next(iter(members.values()))
    units = sorted({spec.fold for folds in ([first] if skip else members.values()) for spec in folds if done(spec)})
    if not units:
        raise StageError(f"run `{first[0].run}` has no predictions of held-out rows", f"kit train {first[0].run}")
    kept = {}
    for name, folds in members.items():
        missing = [unit for unit in units if not done(folds[unit])]
        if not missing:
            kept[name] = [folds[unit] for unit in units]
        elif skip is None:
            raise StageError(f"fold {missing[0]} of run `{name}` has no predictions", f"kit train {trained_by(name)}")
        else:
            skip(Event("warn", f"{name} is left out: fold {missing[0]} is not done"))
    return kept


def _judged(
    kind: str, index: Index, config: Config, members: dict[str, list[FoldSpec]], done: Done, metric: str, emit: Emit
) -> Judged:
    """Compare on one kind of rows, tell it, and return it."""
    groups = _recipes(config, members)
    if len(groups) < 2:
        one = next(iter(members))
        others = [run for run in config.runs if MARK not in run and len(_recipes(config, {one: [], run: []})) > 1]
        command = f"kit compare {one} {others[0]}" if others else f"kit sweep {trained_by(one).split(MARK)[0]}"
        what = f"{' and '.join(members)} differ only in the seed" if len(members) > 1 else f"{one} is one"
        raise StageError(f"a comparison needs at least two recipes: {what}", command)
    rows, recipes = np.zeros(0, np.int64), []
    for name, runs in groups.items():
        found = [_proba(members[run], index, done, one_view=run.endswith(ONE_VIEW)) for run in runs]
        rows = found[0][0]
        recipes.append(Recipe(name, tuple(map(trained_by, runs)), tuple(proba for _, proba in found)))
    every = seen_of(metric, index, [index.ids[row] for row in rows])
    recipes = [replace(recipe, probas=tuple(map(every.of, recipe.probas))) for recipe in recipes]
    lines, noise = compared(metric, every.y, recipes, config.ensemble.seed, every.groups)
    tell(emit, metric, kind, len(rows), lines, noise)
    return Judged(metric=metric, rows=len(rows), seed_noise=noise.deviation, recipes=tuple(lines))


def _recipes(config: Config, members: dict[str, list[FoldSpec]]) -> dict[str, list[str]]:
    """Runs by recipe: what differs in the seed alone is one, called after its first run."""
    groups: dict[str, list[str]] = {}
    for name in members:
        settings = config.runs[trained_by(name)].model_dump(mode="json", exclude={"seed"})
        groups.setdefault(sha256_json([settings, name.endswith(ONE_VIEW)]), []).append(name)
    return {runs[0]: runs for runs in groups.values()}


def _proba(folds: Sequence[FoldSpec], index: Index, done: Done, *, one_view: bool) -> tuple[NDArray[np.int64], Proba]:
    """(R,) rows of the data and (R, C) probabilities: the mean over views, and over repeats of the split."""
    total, times = np.zeros((len(index.ids), len(index.classes))), np.zeros(len(index.ids))
    for spec in folds:
        path = done(spec)
        assert path is not None
        found = load_predictions(path)
        rows = index.rows_of(found.ids)
        total[rows] += found.first if one_view else found.proba.mean(axis=0)
        times[rows] += 1
    rows = np.flatnonzero(times)
    return rows, total[rows] / times[rows, None]
