"""A project in Python: what the commands do, stale predecessors included."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.events import Emit, silent
from kit.config import Config, load, on_engine
from kit.errors import DataError, StageError
from kit.store.layout import Layout, SubmissionPaths, find_project

if TYPE_CHECKING:
    from kit.runs.pretrained import ProbeRecord
    from kit.stages.compare import Comparison
    from kit.stages.lb.report import Report
    from kit.stages.submit import Choice
    from kit.store.candidate import ForecastRecord


class Project:
    """The competition in a folder.

    ``kit.toml`` is looked for in ``folder`` and upwards; ``config`` is another configuration file. ``emit`` hears what
    the stages say; by default a notebook shows it, and elsewhere nobody hears it. ``engine`` is another one than
    ``[engine] name``.
    """

    def __init__(
        self, folder: Path | str = ".", *, config: Path | None = None, emit: Emit | None = None, engine: str = ""
    ) -> None:
        from kit.show.console import Notebook, in_notebook

        self.layout: Layout = find_project(Path(folder), config)
        self.config: Config = on_engine(load(self.layout.config), engine)
        self._emit: Emit = emit or (Notebook().emit if in_notebook() else silent)

    def __repr__(self) -> str:
        runs = ", ".join(self.config.runs) or "no runs"
        return f"Project {self.config.competition.name!r} in {self.layout.root}: {runs}"

    def download(self, *, force: bool = False) -> None:
        """Fetch the competition's files into ``raw/``."""
        from kit.stages.download import download

        download(self.layout, self.config, self._emit, force=force)

    def clean(self, *, force: bool = False) -> None:
        """Write ``data/`` from the raw images."""
        from kit.stages.clean.clean import clean

        clean(self.layout, self.config, self._emit, force=force)

    def restore(self, ids: Sequence[str]) -> None:
        """Bring dropped images back: ids, reasons, or `all`; then clean again."""
        from kit.stages.clean.review import restore

        self.clean()
        restore(self.layout, ids, self._emit)
        self.clean()

    def propose_labels(self) -> None:
        """List labels that the newest blend finds unlikely; nothing is changed."""
        from kit.stages.clean.review import propose_labels

        self.clean()
        propose_labels(self.layout, self._emit)

    def folds(self, *, force: bool = False, reset: bool = False) -> None:
        """Split the cleaned rows."""
        from kit.stages.folds import make_folds

        self.clean()
        make_folds(self.layout, self.config, self._emit, force=force, reset=reset)

    def probe(self, backbones: Sequence[str] = (), weights: Sequence[Path] = (), rows: int = 2000) -> list[ProbeRecord]:
        """Rank pretrained backbones by ridge heads on their features of so many images; see `kit.stages.probe`."""
        from kit.stages.probe import probe

        self.folds()
        return probe(self.layout, self.config, self._emit, backbones, weights, rows)

    def train(
        self, runs: Sequence[str] = (), *, fold: int | None = None, force: bool = False, max_hours: float | None = None
    ) -> bool:
        """Train what is missing of runs, variants like ``b0~no-cutmix`` too, or of all; returns if nothing is left."""
        from kit.stages.stress.stress import tell_known

        done = self._train(runs, fold=fold, force=force, max_hours=max_hours)
        tell_known(self.layout, self.config, self._emit, runs)
        return done

    def self_train(self, runs: Sequence[str] = (), *, rounds: int) -> None:
        """Train rounds, each taught by the one before, while one gains more under stress than its standard error."""
        from kit.runs.sweep import round_of
        from kit.stages.compare import gains

        for run in runs or tuple(self.config.runs):
            for number in range(1, rounds + 1):
                before, name = round_of(run, number - 1), round_of(run, number)
                self.train([name])
                self.stress([before, name])
                if not gains(self.compare([before, name]), self._emit):
                    break

    def _train(self, runs: Sequence[str], *, fold: int | None, force: bool, max_hours: float | None) -> bool:
        from kit.runs.engine import opened
        from kit.runs.units.launch import TimeLimit
        from kit.stages.train.train import train

        with (
            opened(self.layout, self.config) as engine,
            TimeLimit(max_hours, engine) if max_hours is not None else nullcontext(engine) as launch,
        ):
            self.folds()
            train(self.layout, self.config, self._emit, runs=runs, fold=fold, force=force, launch=launch)
        if isinstance(launch, TimeLimit):
            launch.tell(self._emit)
        return not (isinstance(launch, TimeLimit) and launch.left)

    def augment(self, run: str) -> Path:
        """Draw what the augmentation of a run makes of some images."""
        from kit.stages.augment import augment_sheet

        self.clean()
        return augment_sheet(self.layout, self.config, run, self._emit)

    def stress(self, runs: Sequence[str] = (), *, all: bool = False, force: bool = False) -> None:
        """Predict the held-out rows of the named runs, or of all, under corruptions; with ``all`` train first."""
        from kit.stages.stress.stress import stress

        if all:
            self.train(runs)
        else:
            self.folds()
        stress(self.layout, self.config, self._emit, runs=runs, force=force)

    def corruptions(self) -> Path:
        """Draw every corruption of the project's own images."""
        from kit.stages.stress.stress import corruption_sheet

        self.clean()
        return corruption_sheet(self.layout, self.config, self._emit)

    def compare(self, runs: Sequence[str] = (), *, metric: str = "") -> Comparison:
        """Compare runs with the first of them, or all with the first of the configuration; see `kit.stages.compare`."""
        from kit.stages.compare import compare

        self.folds()
        return compare(self.layout, self.config, self._emit, tuple(runs) or tuple(self.config.runs), metric=metric)

    def sweep(
        self,
        run: str,
        changes: Sequence[str] = (),
        *,
        fold: int | None = None,
        max_hours: float | None = None,
        seeds: int = 2,
        stressed: bool = False,
    ) -> Comparison:
        """Train a run with one ingredient changed at a time, and compare; see `kit.runs.sweep`.

        ``changes`` are names of `kit.runs.sweep.variants`, by default all; ``fold`` and ``max_hours`` as for `train`.
        The run itself is trained with as many ``seeds``: two show how far scores move by themselves. With ``stressed``
        the held-out rows are predicted under corruptions too, of what is trained on every fold.
        """
        from kit.runs.results import is_complete
        from kit.runs.spec import plan_runs
        from kit.runs.sweep import plan_sweep, trained_by
        from kit.stages.compare import compare
        from kit.stages.stress.stress import stress
        from kit.store.data import load_index

        names = plan_sweep(self.config, run, changes, seeds)
        trained = list(dict.fromkeys(map(trained_by, names)))
        self._train(trained, fold=fold, force=False, max_hours=max_hours)
        if stressed:
            plans, index = plan_runs(self.layout, self.config, trained), load_index(self.layout)
            if whole := [name for name, folds in plans.items() if is_complete(folds, index)]:
                stress(self.layout, self.config, self._emit, runs=whole)
        return compare(self.layout, self.config, self._emit, names, partial=True)

    def ensemble(self, *, all: bool = False, force: bool = False, max_hours: float | None = None) -> SubmissionPaths:
        """Blend the runs, with ``all`` trained first; `StageError` where ``max_hours`` were not enough for that."""
        from kit.stages.ensemble.ensemble import ensemble
        from kit.stages.stress.stress import stress_if_possible

        if not all:
            self.folds()
        elif not self.train(self.config.ensemble_runs(), max_hours=max_hours):
            limit = f" --max-hours {max_hours:g}" if max_hours else ""  # in no time nothing would go on
            hint = f"kit ensemble --all{limit}   # continues where it stopped"
            raise StageError("the time limit was reached before all runs were trained; nothing was blended", hint)
        stress_if_possible(self.layout, self.config, self._emit)
        return ensemble(self.layout, self.config, self._emit, force=force)

    def forecast(self, *, force: bool = False) -> list[ForecastRecord]:
        """Expected scores of all runs and ensembles, before they are submitted; see `kit.stages.forecast`."""
        from kit.stages.forecast.forecast import forecast
        from kit.stages.stress.stress import stress_if_possible

        self.folds()
        stress_if_possible(self.layout, self.config, self._emit)
        return forecast(self.layout, self.config, self._emit, force=force)

    def blend_foreign(self, oof: Sequence[Path], test: Sequence[Path], out: Path) -> None:
        """Blend predictions from files on the project's labels and folds."""
        from kit.stages.ensemble.foreign import blend_foreign, of_project

        self.folds()
        blend_foreign(of_project(self.layout, self.config), self.config, self._emit, oof=oof, test=test, out=out)

    def predict(self, bundle: Path, images: Path, out: Path) -> None:
        """Predict images with any bundle and write a table; nothing of the bundle's code is run."""
        from kit.stages.predict import predict

        predict(bundle, images, out, self._emit, self.config.predict.engine)

    def bundle(self, *, force: bool = False, against: str = "") -> SubmissionPaths:
        """Build and prove the zip of the current ensemble, then under the versions that ``against`` names."""
        from kit.stages.bundle.bundle import against as prove_against
        from kit.stages.bundle.bundle import bundle

        paths = self.ensemble()
        bundle(self.layout, self.config, paths, self._emit, force=force)
        if against:
            prove_against(self.layout, paths, against, self._emit)
        if self.config.data.test:
            self.table()
        return paths

    def table(self) -> SubmissionPaths:
        """Write ``submission.csv`` of the current ensemble from its predictions of the test images."""
        from kit.stages.table import table

        paths = self.ensemble()
        table(self.layout, self.config, paths, self._emit)
        return paths

    def submit(self, choice: Choice | None = None) -> SubmissionPaths:
        """Send the current bundle once; see `kit.stages.submit.Choice`."""
        from kit.platforms import open_platform
        from kit.stages.forecast.forecast import expected, forecast
        from kit.stages.submit import Choice, submit
        from kit.store.ledger import load_submission
        from kit.store.ledger.facts import Score

        platform = open_platform(self.layout, self.config, emit=self._emit)
        paths = self.table() if platform.takes_table() else self.bundle()
        if load_submission(paths).last(Score) is None:
            # Say what score to expect before it is known; without stress, CV has to do.
            with suppress(StageError, DataError):
                told = forecast(self.layout, self.config, silent)
                for event in (expected(record) for record in told if record.name == paths.root.name):
                    self._emit(event)
        submit(self.layout, self.config, paths, self._emit, choice or Choice())
        return paths

    def leaderboard(self, *, width: int = 80, pictures: bool = False) -> Report:
        """The board and our submissions, as a report and, through ``emit``, as tables of this width."""
        from kit.stages.lb import leaderboard
        from kit.store.ledger import latest

        begun = latest(self.layout) or self.layout.data_manifest.exists()
        if self.config.competition.platform == "local" and not begun:
            raise StageError("nothing has been submitted from this project yet", "make folds train-all ensemble submit")
        return leaderboard(self.layout, self.config, self._emit, width=width, pictures=pictures)

    def report(self, out: Path | None = None, *, attention: bool = True) -> Path:
        """Write what is known as a page, by default ``report.html``; without ``attention`` it takes seconds less."""
        from kit.stages.report.report import report

        return report(self.layout, self.config, self._emit, out or self.layout.named("report.html"), compute=attention)

    def export(self, tracker: str = "mlflow", to: str = "") -> int:
        """Log what is on the disk with a tracker of experiments; returns how many runs and candidates had news."""
        from kit.stages.export import export

        return export(self.layout, self.config, self._emit, tracker, to)

    def act(self, of: str = "", *, rerun: bool) -> None:
        """Cancel a submission, or let the platform run it once more; see `kit.stages.lb`."""
        from kit.stages.lb import act

        act(self.layout, self.config, self._emit, of, rerun=rerun)

    def add_score(self, score: float, of: str = "") -> SubmissionPaths:
        """Note a score that was read off a platform without an interface."""
        from kit.stages.lb import add_score

        return add_score(self.layout, self.config, score, of)
