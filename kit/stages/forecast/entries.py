"""Predictions of runs and ensembles, clean, stressed and of the test, brought to one shape."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.tasks import Task
from kit.config import Config
from kit.errors import StageError
from kit.images.corrupt.plan import StressPlan, assign, plan_of, split
from kit.judge.metrics import Array
from kit.judge.shift.evidence import Evidence
from kit.runs.results import is_complete, load_oof, load_test, require_joined, run_lineage_of_test
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.stressed import load_stressed, stressed_run
from kit.runtime.decide import Decision
from kit.store.candidate import Ensemble
from kit.store.data import Index, UnlabelledRecord, load_index, unlabelled_record
from kit.store.files import sha256_json
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import attempts_of, load_submissions, target_of
from kit.store.predictions import Predictions, load_predictions
from kit.store.record import Digests, Figure, digest

RECENT = 20  # candidates, the newest; an old one tells little that these do not
# Rows that the consensus is fitted on, at most; more change the third decimal. Without test images nothing is fitted.
CLEAN_ROWS = 8000
FEWEST = 4  # test images that tell anything: hosts of hidden tests show one or three
FOLD_ROWS = 4000  # test images for which single folds are compared, at most about as many
STRESSED_ROWS = {True: 9000, False: 30_000}


@dataclass(frozen=True, eq=False)
class Entry:
    """A run or an ensemble (``kind``) on one set of rows, and the ``file`` where its forecast is written.

    Probabilities out of fold are ``clean``, ``mixture`` (N, C) and ``grid`` (G, C); those of the test images ``test``
    (R, C) and, of each fold for every n-th of them, ``folds`` (K, R', C); ``held`` (H, C) are those of the first fold's
    network for the rows that it held out. ``score`` is what the platform gave it, and ``decision`` what it answers
    where that is not the most probable class; ``nested`` are the clean and the stressed score that an ensemble was
    given, by rules that never saw the row that they answer.
    """

    name: str
    kind: str
    file: Path
    clean: Array
    mixture: Array
    grid: Array
    test: Array | None = None
    folds: Array | None = None
    held: Array | None = None
    score: float | None = None
    decision: Decision | None = None
    nested: tuple[Figure | None, Figure | None] = (None, None)


@dataclass(frozen=True, eq=False)
class Gathered:
    """All that a forecast is made of: entries, the N rows and G rows of the grid, and digests of all that was read.

    ``left_out`` names runs and ensembles that cannot be forecast, and why.
    """

    entries: tuple[Entry, ...]
    ids: tuple[str, ...]
    y: Array  # (N, ...) the truth, see `kit.base.tasks`
    plan: StressPlan
    grid_ids: NDArray[np.str_]
    made_from: Digests
    left_out: tuple[str, ...]
    averaged: int  # networks, one a fold, whose mean predicts the test
    metric: str  # that of the competition
    task: Task
    classes: tuple[str, ...]

    @property
    def past(self) -> dict[str, float]:
        """Known scores by name."""
        return {entry.name: entry.score for entry in self.entries if entry.score is not None}

    def evidence(self) -> Evidence:
        """For `kit.judge.shift.forecast`; stressed rows are those of mixture and grid, a draw where they are many."""
        names, families, degrees = split(self.grid_ids)
        wanted = np.isin(self.ids, names)
        drawn = np.random.default_rng(self.plan.seed).permutation(len(self.ids))
        order = drawn[np.argsort(~wanted[drawn], kind="stable")]
        kept = np.sort(order[: max(CLEAN_ROWS, int(wanted.sum()))])
        place = {self.ids[row]: position for position, row in enumerate(kept.tolist())}
        mixed = assign(self.plan, list(place), self.plan.seed)
        rows = np.r_[np.arange(len(kept)), [place[name] for name in names]].astype(np.int64)
        family, degree = np.r_[mixed.family, families], np.r_[mixed.severity, degrees]
        tests = [entry.test for entry in self.entries if entry.test is not None]
        folds = [entry.folds for entry in self.entries if entry.folds is not None]
        has_test = len(tests) == len(self.entries) and len(tests[0]) >= FEWEST
        chosen = np.sort(np.random.default_rng(self.plan.seed).permutation(len(rows))[: STRESSED_ROWS[has_test]])
        stressed = np.stack([np.concatenate([one.mixture[kept], one.grid])[chosen] for one in self.entries])
        return Evidence(
            tuple(entry.name for entry in self.entries),
            self.y[kept],
            np.stack([entry.clean[kept] for entry in self.entries]),
            rows[chosen],
            family[chosen],
            degree[chosen],
            stressed,
            np.stack(tests) if has_test else None,
            np.stack(folds) if self.averaged > 1 and has_test and len(folds) == len(tests) else None,
            self.averaged,
            self.metric,
            tuple(entry.decision for entry in self.entries),
            self.task,
            self.classes,
        )


def gather(layout: Layout, config: Config) -> Gathered:
    """Read every trained run and the newest ensembles; raises `StageError` where no run is trained and stressed."""
    index = load_index(layout)
    specs = plan_runs(layout, config, ())
    usable = {
        name: folds
        for name, folds in specs.items()
        if is_complete(folds, index) and stressed_run(folds, config, index) is not None
    }
    left_out = [f"run {name} is not trained or lacks stressed predictions" for name in specs if name not in usable]
    if not usable:
        raise StageError("no run is trained and stressed: nothing to forecast from", "kit stress --all")
    test, plan = unlabelled_record(layout, "test"), plan_of(config.stress)
    first = load_stressed(next(iter(usable.values())), config, index)
    ids = tuple(first.mixture.ids.tolist())
    runs = {name: _Run(folds, config, index, ids, test) for name, folds in usable.items()}
    entries = [run.entry(name) for name, run in runs.items()]
    made_from = {f"run {name}": run.digest for name, run in runs.items()}
    made_from |= {
        # Classes are the values of a number; where they are names they tell nothing.
        **{part: index.parts[part] for part in ("labels", "classes")[: 1 + (index.task.kind == "numbers")]},
        "plan": plan.key,
        "test": test.images if test else "",
    }
    submissions, metric = load_submissions(layout), config.competition.metric
    sent, holds = attempts_of(submissions, target_of(config)), config.competition.holds
    scores = {one.submission.name: one.score for one in sent if one.score is not None and holds(one.score)}
    for one in submissions[-RECENT:]:
        found = _ensemble(one.paths, runs, ids, index)
        if isinstance(found, str):
            left_out.append(f"{one.name}: {found}")
        else:
            if (said := one.judged).metric == metric:  # else its scores say nothing
                found = replace(found, score=scores.get(one.name), nested=(said.cv, said.stressed))
            entries.append(found)
            made_from[f"ensemble {one.name}"] = digest(one.paths.ensemble)
    y, told = index.truth_of(ids), (index.task, index.classes)
    # Repeated folds predict held-out rows by a mean too, and nothing is known of what a larger one gains.
    averaged = len(next(iter(usable.values()))) if config.folds.repeats == 1 else 1
    return Gathered(tuple(entries), ids, y, plan, first.grid.ids, made_from, tuple(left_out), averaged, metric, *told)


class _Run:
    """The predictions of a run on the rows ``ids`` and on the ``test`` where there are any, and a digest of them."""

    def __init__(
        self, folds: list[FoldSpec], config: Config, index: Index, ids: Sequence[str], test: UnlabelledRecord | None
    ) -> None:
        self.paths = folds[0].run_paths
        self.oof = require_joined(folds, index).files[self.paths.oof.name]
        stressed = load_stressed(folds, config, index)
        self.grid = stressed.grid.first
        self.clean = load_oof(folds, index).take(ids)
        self.held = load_predictions(folds[0].paths.valid).first
        self.mixture = stressed.mixture.take(ids)
        self.test = None
        self.folds: tuple[Predictions, ...] = ()
        if test is not None and run_lineage_of_test(folds, index, test) is not None:
            self.test = load_test(folds, index, test)
            every = slice(None, None, -(-len(self.test.ids) // FOLD_ROWS))
            each = [load_predictions(spec.paths.test) for spec in folds]
            self.folds = tuple(replace(one, ids=one.ids[every], logits=one.logits[:, every]) for one in each)
        self.digest = sha256_json([self.oof, stressed.record.files, digest(self.paths.test) if self.test else ""])

    def entry(self, name: str) -> Entry:
        test, clean, mixture = None if self.test is None else self.test.first, self.clean.first, self.mixture.first
        folds = np.stack([one.first for one in self.folds]) if self.folds else None
        return Entry(name, "run", self.paths.forecast, clean, mixture, self.grid, test, folds, self.held)


def _ensemble(paths: SubmissionPaths, runs: dict[str, _Run], ids: Sequence[str], index: Index) -> Entry | str:
    """The entry of a candidate, or why there is none."""
    by_folder = {run.paths.root.name: run for run in runs.values()}
    try:
        record = Ensemble.load(paths.ensemble)
        record.check(paths.root)
    except StageError as error:
        return error.message
    used = [by_folder.get(one.folder) for one in record.members]
    present = [run for run, one in zip(used, record.members, strict=True) if run is not None and run.oof == one.oof]
    if len(present) < len(used) or not record.files or record.classes != index.classes:
        return "its runs differ from those of the current configuration"
    blend, views = record.blend, record.views
    clean = load_predictions(paths.predictions).take(ids)
    # Out of fold where the candidate has it: its blend never saw the row that it predicts.
    if paths.stressed_predictions.name in record.files:
        mixture = load_predictions(paths.stressed_predictions).take(ids).first
    else:
        mixture = blend.apply(np.stack([run.mixture.select(views).proba for run in present]))
    # One view was predicted for the grid: it stands for all of them.
    grid = np.stack([run.grid for run in present])[:, None].repeat(len(views), axis=1)
    tests = [run.test.select(views).proba for run in present if run.test is not None]
    test = folds = None
    if len(tests) == len(present):
        test = blend.apply(np.stack(tests))
        each = zip(*(run.folds for run in present), strict=True)
        folds = np.stack([blend.apply(np.stack([one.select(views).proba for one in same])) for same in each])
    entry = Entry(paths.root.name, "ensemble", paths.forecast, clean.first, mixture, blend.apply(grid), test, folds)
    return replace(entry, decision=blend.decision.plain() if blend.decision else None)
