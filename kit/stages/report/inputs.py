"""What the sections read: the files of the stages, each opened when it is first asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import ImageArray, IntArray
from kit.base.events import Emit, Event, silent
from kit.base.tasks import Flat, Task
from kit.config import Config
from kit.errors import KitError
from kit.judge.metrics import classes_of
from kit.runs.results import RunRecord
from kit.runs.spec import plan_runs
from kit.store.candidate import Ensemble, StoredBlend
from kit.store.data import Index, UnlabelledRecord, load_images, load_index, unlabelled_record
from kit.store.layout import Layout, RunPaths
from kit.store.ledger import Submission, attempts_of, history, latest, load_for_tables, load_submission, target_of
from kit.store.ledger.snapshots import Snapshot
from kit.store.ledger.standing import Line, standing
from kit.store.predictions import Predictions, load_predictions
from kit.store.record import Record, digest

AnyRecord = TypeVar("AnyRecord", bound=Record)
Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold probabilities (N, C) of the newest candidate, and its answers, beside the truth.

    ``rows`` (N,) are those of ``data/images.npy``, ``ids`` (N,) what their images are called, ``groups`` (N,) which of
    them belong together.
    """

    rows: IntArray
    ids: NDArray[np.str_]
    truth: NDArray[Any]
    groups: NDArray[np.str_]
    proba: NDArray[np.float64]
    answers: IntArray
    classes: tuple[str, ...]
    task: Task

    @cached_property
    def y(self) -> IntArray:
        """(N,) one class an image."""
        return self.task.strata(self.truth, self.classes)

    @cached_property
    def flat(self) -> Flat:
        """Rows of one class each that stand for all."""
        return self.task.flat(self.truth, self.classes)


class Run(NamedTuple):
    """The files of a run, and its record."""

    paths: RunPaths
    record: RunRecord


class Facts:
    """The files of a project that a report is made of; what is missing, or cannot be read, is None or empty.

    ``compute`` allows what takes more than reading: the maps of attention. ``problems`` are of files that cannot be
    read, each named once, when it is first asked for.
    """

    def __init__(self, layout: Layout, config: Config, emit: Emit = silent, *, compute: bool = True) -> None:
        self.layout, self.config, self.emit, self.compute = layout, config, emit, compute
        self.problems: list[KitError] = []

    def attempt(self, look: Callable[[], Found]) -> Found | None:
        """What ``look`` finds; its error becomes one of the `problems`, for a report shows what is there."""
        try:
            return look()
        except KitError as error:
            self.problems.append(error)
            return None

    def read(self, kind: type[AnyRecord], path: Path, again: str = "") -> AnyRecord | None:
        """A record, if it is there; ``again`` writes it once more, instead of its own command."""
        return self.attempt(lambda: kind.load(path, again)) if path.exists() else None

    @cached_property
    def index(self) -> Index | None:
        """The cleaned data."""
        return self.attempt(lambda: load_index(self.layout)) if self.layout.data_manifest.exists() else None

    @cached_property
    def test(self) -> UnlabelledRecord | None:
        """The record of the test images, where there are any."""
        return self.attempt(lambda: unlabelled_record(self.layout, "test"))

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

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """The boards of the project's target, oldest first."""
        return history(self.layout, target_of(self.config), self.emit)

    @cached_property
    def lines(self) -> list[Line]:
        """The submissions to the project's target, oldest first."""
        mine = attempts_of(self.submissions, target_of(self.config))
        return standing(mine, self.snapshots, self.config.competition, self.emit)

    @cached_property
    def ensemble(self) -> Ensemble | None:
        """The record of the newest ensemble, where it is one of the present data and metric."""
        found = self.read(Ensemble, self.candidate.paths.ensemble) if self.candidate else None
        if found is None or self.candidate is None or self.index is None:
            return found
        parts = self.index.parts
        other = found.other(labels=parts["labels"], classes=parts["classes"], metric=self.config.competition.metric)
        if not other:
            return found
        self.emit(Event("warn", f"the newest ensemble {self.candidate.name} was made from different {other}; ignored"))
        return None

    @property
    def blend(self) -> StoredBlend | None:
        """The newest ensemble's blend."""
        return self.ensemble.blend if self.ensemble else None

    @cached_property
    def evidence(self) -> OutOfFold | None:
        """What the newest ensemble says about rows it did not fit."""
        if self.candidate is None or self.ensemble is None or self.index is None:
            return None
        record, path = self.ensemble, self.candidate.paths.predictions

        def checked() -> Predictions:
            if record.files:  # earlier kits did not say which they wrote
                record.check(path.parent, "", path.name)
            return load_predictions(path)

        found = self.attempt(checked)
        if found is None or found.classes != self.index.classes or not set(found.ids.tolist()) <= set(self.index.ids):
            return None  # damaged, or made of other data than are here now
        rows = self.index.rows_of(found.ids)
        groups = np.array(self.index.groups)[rows]
        answers, task = record.blend.answer(found.first), self.index.task
        if not task.several:  # a number is of the class whose bin it is in
            answers = task.strata(answers, found.classes) if answers.dtype.kind == "f" else classes_of(answers)
        return OutOfFold(rows, found.ids, self.index.truth[rows], groups, found.first, answers, found.classes, task)

    @cached_property
    def members(self) -> dict[str, NDArray[np.float64]]:
        """Probabilities (N, C) of each member on the rows of `evidence`, where its files are here."""
        if self.ensemble is None or self.evidence is None:
            return {}
        found = {}
        for member in self.ensemble.members:
            paths = RunPaths(self.layout.runs / member.folder)
            if paths.oof.exists() and digest(paths.oof) == member.oof:
                found[member.run] = load_predictions(paths.oof).take(self.evidence.ids).first
        return found

    @cached_property
    def runs(self) -> list[Run]:
        """The runs to show: those of the newest ensemble, then others that ``kit.toml`` names."""
        folders = [member.folder for member in self.ensemble.members] if self.ensemble else []
        try:
            planned = plan_runs(self.layout, self.config, ())
        except KitError:  # no data or no folds yet, or weights that this clone does not have
            planned = {}
        folders += [specs[0].run_paths.root.name for specs in planned.values()]
        found = []
        for paths in (RunPaths(self.layout.runs / name) for name in dict.fromkeys(folders)):
            record = self.read(RunRecord, paths.manifest, f"kit train {paths.root.name.rpartition('-')[0]}")
            found += [Run(paths, record)] if record else []
        return found
