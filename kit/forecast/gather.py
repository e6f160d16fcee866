"""Predictions of runs and ensembles, clean, stressed and of the test, brought to one shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.blend import Blend
from kit.config import Config
from kit.corrupt.plan import Plan, fates, plan_of, split
from kit.data import load_index
from kit.errors import StageError
from kit.files import sha256_file
from kit.layout import Layout, SubmissionPaths
from kit.ledger import attempts, load_submissions, target_of
from kit.records import IntArray, Predictions, load_predictions
from kit.runs import FoldSpec, plan_runs
from kit.runtime.forward import softmax
from kit.shift.evidence import Evidence
from kit.shift.stressed import Stressed, is_stressed, load_stressed

Array = NDArray[Any]

RECENT = 20  # candidates, the newest; an old one tells little that these do not
# Rows that correctness is fitted on, at most; more change the third decimal. Without test images nothing is fitted.
CLEAN_ROWS = 8000
STRESSED_ROWS = {True: 9000, False: 30_000}


@dataclass(frozen=True, eq=False)
class Entry:
    """A run or an ensemble on one set of rows.

    Parameters
    ----------
    name : str
    kind : str
        ``"run"`` or ``"ensemble"``.
    file : Path
        Where its forecast is written.
    clean, mixture, grid : (N, C), (N, C), (G, C)
        Probabilities out of fold.
    test : (R, C), optional
    folds : (K, R, C), optional
        The test predictions of each fold, of a run.
    score : float, optional
        What the platform gave it.
    """

    name: str
    kind: str
    file: Path
    clean: Array
    mixture: Array
    grid: Array
    test: Array | None = None
    folds: Array | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Gathered:
    """All that a forecast is made of.

    Parameters
    ----------
    entries : tuple of Entry
    ids : tuple of N str
    y : (N,) int
    plan : Plan
    grid_ids : (G,) str
    hashes : dict
        Of every file that was read, for freshness.
    left_out : tuple of str
        Runs and ensembles that cannot be forecast, and why.
    """

    entries: tuple[Entry, ...]
    ids: tuple[str, ...]
    y: IntArray
    plan: Plan
    grid_ids: NDArray[np.str_]
    hashes: dict[str, str]
    left_out: tuple[str, ...]

    @property
    def past(self) -> dict[str, float]:
        """Known scores by name."""
        return {entry.name: entry.score for entry in self.entries if entry.score is not None}

    @property
    def has_test(self) -> bool:
        """Whether every entry has predictions of the test images."""
        return bool(self.entries) and all(entry.test is not None for entry in self.entries)

    def evidence(self) -> Evidence:
        """For `kit.shift.forecast`; stressed rows are those of mixture and grid, a draw where they are many."""
        names, families, degrees = split(self.grid_ids)
        kept = self._kept_rows(set(names))
        place = {self.ids[row]: position for position, row in enumerate(kept.tolist())}
        mixed_family, mixed_degree = fates(self.plan, [self.ids[row] for row in kept.tolist()])
        rows = np.r_[np.arange(len(kept)), [place[name] for name in names]].astype(np.int64)
        family, degree = np.r_[mixed_family, families], np.r_[mixed_degree, degrees]
        rng = np.random.default_rng(self.plan.seed)
        chosen = np.sort(rng.permutation(len(rows))[: STRESSED_ROWS[self.has_test]])
        stressed = np.stack([np.concatenate([one.mixture[kept], one.grid])[chosen] for one in self.entries])
        return Evidence(
            tuple(entry.name for entry in self.entries),
            self.y[kept],
            np.stack([entry.clean[kept] for entry in self.entries]),
            rows[chosen],
            family[chosen],
            degree[chosen],
            stressed,
            np.stack([_given(entry.test) for entry in self.entries]) if self.has_test else None,
        )

    def _kept_rows(self, wanted: set[str]) -> IntArray:
        """Rows of ``ids``: those ``wanted``, and a draw of the others up to `CLEAN_ROWS`."""
        first = np.array([name in wanted for name in self.ids])
        drawn = np.random.default_rng(self.plan.seed).permutation(len(self.ids))
        order = drawn[np.argsort(~first[drawn], kind="stable")]
        kept: IntArray = np.sort(order[: max(CLEAN_ROWS, int(first.sum()))])
        return kept


def gather(layout: Layout, config: Config) -> Gathered:
    """Read every trained run and the newest ensembles.

    Raises
    ------
    StageError
        Where no run is trained and stressed.
    """
    index = load_index(layout)
    specs = plan_runs(layout, config, ())
    usable = {name: folds for name, folds in specs.items() if is_stressed(folds, config)}
    left_out = [f"run {name} is not trained or not stressed" for name in specs if name not in usable]
    if not usable:
        raise StageError("no run is trained and stressed: nothing to forecast from", "kit stress --all")
    first = load_stressed(next(iter(usable.values())), config)
    ids = tuple(first.mixture.ids.tolist())
    labels = dict(zip(index.ids, index.labels.tolist(), strict=True))
    runs = {name: _Run(folds, config, ids) for name, folds in usable.items()}
    entries = [run.entry(name) for name, run in runs.items()]
    scores = scores_of(layout, config)
    for submission in load_submissions(layout)[-RECENT:]:
        found = _ensemble(submission.paths, submission.record, runs, ids)
        if isinstance(found, str):
            left_out.append(f"{submission.name}: {found}")
        else:
            entries.append(replace(found, score=scores.get(submission.name)))
    hashes = {name: hash for run in runs.values() for name, hash in run.hashes.items()}
    y = np.array([labels[name] for name in ids], np.int64)
    return Gathered(tuple(entries), ids, y, plan_of(config.stress), first.grid.ids, hashes, tuple(left_out))


def scores_of(layout: Layout, config: Config) -> dict[str, float]:
    """The newest score of every candidate on the present target."""
    found = attempts(load_submissions(layout))
    target = target_of(config)
    return {one.submission.name: one.score for one in found if one.target == target and one.score is not None}


class _Run:
    """The files of a run."""

    def __init__(self, folds: list[FoldSpec], config: Config, ids: Sequence[str]) -> None:
        self.paths = folds[0].run_paths
        self.oof = load_predictions(self.paths.oof)
        self.key = sha256_file(self.paths.oof)
        self.stressed: Stressed = load_stressed(folds, config)
        self.clean = self.oof.take(np.array(ids))
        self.mixture = self.stressed.mixture.take(np.array(ids))
        self.test = load_predictions(self.paths.test) if self.paths.test.exists() else None
        tests = [spec.paths.test for spec in folds]
        self.folds = [load_predictions(path) for path in tests] if all(path.exists() for path in tests) else []

    @property
    def hashes(self) -> dict[str, str]:
        files = (self.paths.oof, self.paths.stress, self.paths.stress_grid, self.paths.test)
        return {str(path.relative_to(self.paths.root.parent)): sha256_file(path) for path in files if path.exists()}

    def entry(self, name: str) -> Entry:
        folds = np.stack([_first(one) for one in self.folds]) if self.folds else None
        return Entry(
            name,
            "run",
            self.paths.forecast,
            _first(self.clean),
            _first(self.mixture),
            _first(self.stressed.grid),
            None if self.test is None else _first(self.test),
            folds,
        )


def _ensemble(paths: SubmissionPaths, record: dict[str, Any], runs: dict[str, _Run], ids: Sequence[str]) -> Entry | str:
    """The entry of a candidate, or why there is none."""
    by_folder = {run.paths.root.name: run for run in runs.values()}
    members = record.get("members", ())
    if not members or not paths.predictions.exists() or "blend" not in record:
        return "it was not made by kit ensemble on this machine"
    if any(by_folder.get(one["folder"]) is None or by_folder[one["folder"]].key != one["oof"] for one in members):
        return "its runs are not those of the present configuration"
    used = [by_folder[one["folder"]] for one in members]
    blend, views = Blend.from_json(json.dumps(record["blend"])), tuple(record["views"])
    clean = load_predictions(paths.predictions).take(np.array(ids))
    # Out of fold where the candidate has it: its blend never saw the row that it predicts.
    nested = load_predictions(paths.stressed_predictions) if paths.stressed_predictions.exists() else None
    mixture = _first(nested.take(np.array(ids))) if nested else blend.apply(_stack([r.mixture for r in used], views))
    # One view was predicted for the grid: it stands for all of them.
    grid = np.stack([_first(run.stressed.grid) for run in used])[:, None].repeat(len(views), axis=1)
    tests = [run.test for run in used if run.test is not None]
    test = blend.apply(_stack(tests, views)) if len(tests) == len(used) else None
    return Entry(paths.root.name, "ensemble", paths.forecast, _first(clean), mixture, blend.apply(grid), test)


def _stack(members: Sequence[Predictions], views: Sequence[str]) -> Array:
    """(M, V, N, C) probabilities."""
    found: Array = softmax(
        np.stack([one.logits[[one.views.index(view) for view in views]] for one in members]).astype(np.float64)
    )
    return found


def _first(predictions: Predictions) -> Array:
    """(N, C) probabilities under the first view."""
    found: Array = softmax(predictions.logits[0].astype(np.float64))
    return found


def _given(value: Array | None) -> Array:
    assert value is not None
    return value
