"""What the sections read: the files of the stages, each opened when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.config import Config
from kit.data import Index, load_images, load_index
from kit.errors import KitError
from kit.layout import Layout, RunPaths, SubmissionPaths
from kit.ledger import Snapshot, Submission, attempts, history, latest, load_for_tables, load_submission, target_of
from kit.ledger.standing import Line, standing
from kit.records import Emit, ImageArray, IntArray, Predictions, load_predictions, silent
from kit.results import RunRecord
from kit.runs import plan_runs
from kit.store.candidate import Ensemble, StoredBlend
from kit.store.digests import digest
from kit.store.record import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Out-of-fold probabilities of the newest candidate beside the truth.

    Attributes
    ----------
    rows : (N,) int64
        Rows of ``data/images.npy``.
    y : (N,) int64
    proba : (N, C) float64
    classes : tuple of C str
    """

    rows: IntArray
    y: IntArray
    proba: NDArray[np.float64]
    classes: tuple[str, ...]

    @property
    def named(self) -> IntArray:
        """(N,) the class of the largest probability."""
        found: IntArray = self.proba.argmax(axis=1)
        return found


class Facts:
    """The files of a project that a report is made of; what is missing is None or empty.

    ``compute`` allows what takes more than reading: the maps of attention.
    """

    def __init__(self, layout: Layout, config: Config, emit: Emit = silent, *, compute: bool = True) -> None:
        self.layout, self.config, self.emit, self.compute = layout, config, emit, compute

    @cached_property
    def index(self) -> Index | None:
        """The cleaned data."""
        try:
            return load_index(self.layout)
        except KitError:
            return None

    @cached_property
    def images(self) -> ImageArray:
        """Their pictures."""
        return load_images(self.layout)

    @cached_property
    def candidate(self) -> Submission | None:
        """The newest ensemble with its events."""
        paths = latest(self.layout)
        return load_submission(paths, []) if paths else None

    @cached_property
    def submissions(self) -> list[Submission]:
        """Every candidate, oldest first; what cannot be read is a warning."""
        return load_for_tables(self.layout, self.emit)

    @property
    def candidates(self) -> list[SubmissionPaths]:
        """Every candidate, the newest first."""
        return [submission.paths for submission in reversed(self.submissions)]

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """The boards of the project's target, oldest first."""
        return history(self.layout, target_of(self.config), self.emit)

    @cached_property
    def lines(self) -> list[Line]:
        """The submissions to the project's target, oldest first."""
        target = target_of(self.config)
        mine = [attempt for attempt in attempts(self.submissions) if attempt.target == target]
        return standing(mine, self.snapshots, self.config.competition.test_size, self.emit)

    @cached_property
    def ensemble(self) -> Ensemble | None:
        """The record of the newest ensemble; None where there is none that can be read."""
        return read(Ensemble, self.candidate.paths.ensemble) if self.candidate else None

    @property
    def blend(self) -> StoredBlend | None:
        """The newest ensemble's blend."""
        return self.ensemble.blend if self.ensemble else None

    @cached_property
    def evidence(self) -> Evidence | None:
        """What the newest ensemble says about rows it did not fit."""
        if self.candidate is None or self.index is None:
            return None
        found = read_predictions(self.candidate.paths.predictions)
        return self._beside_truth(found) if found else None

    def _beside_truth(self, found: Predictions) -> Evidence | None:
        assert self.index is not None
        if found.classes != self.index.classes or not set(found.ids.tolist()) <= set(self.index.ids):
            return None  # made of other data than are here now
        rows = self.index.rows_of(found.ids)
        return Evidence(rows, self.index.labels[rows], found.first, found.classes)

    @cached_property
    def members(self) -> dict[str, NDArray[np.float64]]:
        """Probabilities (N, C) of each member on the rows of `evidence`, where its files are here."""
        if self.ensemble is None or self.evidence is None or self.index is None:
            return {}
        ids = np.array(self.index.ids)[self.evidence.rows]
        found = {}
        for member in self.ensemble.members:
            paths = RunPaths(self.layout.runs / member.folder)
            if paths.oof.exists() and digest(paths.oof) == member.oof:
                found[member.run] = load_predictions(paths.oof).take(ids).first
        return found

    @cached_property
    def runs(self) -> dict[str, RunPaths]:
        """Folders of the runs to show: those of the newest ensemble, then others that ``kit.toml`` names."""
        folders = [member.folder for member in self.ensemble.members] if self.ensemble else []
        try:
            planned = plan_runs(self.layout, self.config, ())
        except KitError:  # no data or no folds yet, or weights that this clone does not have
            planned = {}
        folders += [specs[0].run_paths.root.name for specs in planned.values()]
        paths = {name: RunPaths(self.layout.runs / name) for name in dict.fromkeys(folders)}
        return {name: found for name, found in paths.items() if read(RunRecord, found.manifest)}


def read_predictions(path: Path) -> Predictions | None:
    """Predictions, or None where there are none."""
    try:
        return load_predictions(path)
    except KitError:
        return None


def read(kind: type[AnyRecord], path: Path) -> AnyRecord | None:
    """A record, or None where there is none that can be read: a report shows what is there."""
    try:
        return kind.load(path)
    except KitError:
        return None
