"""Plan the units of training, run what is missing, one process each, and join their predictions."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np

from kit.config import Config
from kit.data import load_index
from kit.errors import TrainingError
from kit.files import lock, read_json, sha256_file, write_json
from kit.layout import Layout, RunPaths
from kit.partition import load_folds
from kit.records import Emit, Event, Predictions, concatenate, load_predictions
from kit.runs import FoldSpec, plan_runs
from kit.runtime.forward import mean_of_folds
from kit.train.checkpoint import delete
from kit.train.devices import Cards, visible_gpus
from kit.train.features import feature_key
from kit.train.watch import watched_metrics

PACKAGES = ("tensorflow", "keras", "keras-cv", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Unit:
    """One process: the fold of a run, or the features that its folds wait for."""

    kind: str
    spec: FoldSpec

    @property
    def name(self) -> str:
        return unit_name(self.spec) if self.kind == "fold" else f"{self.spec.run} features"


def unit_name(spec: FoldSpec) -> str:
    """What a fold of a run is called in tables and messages."""
    return f"{spec.run} fold {spec.fold}"


def train(
    layout: Layout,
    config: Config,
    emit: Emit,
    *,
    runs: Sequence[str] = (),
    fold: int | None = None,
    force: bool = False,
    launch: Launch | None = None,
) -> None:
    """Train every missing fold of the named runs (all of them by default) and join their predictions.

    ``launch`` runs one unit to its end; by default in a process of its own.

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
    with _terminable(), _locked([folds[0].run_paths for folds in specs.values()]):
        wanted = [spec for folds in specs.values() for spec in folds if fold is None or spec.fold == fold]
        missing = [spec for spec in wanted if force or not spec.paths.valid.exists()]
        if missing:
            _prepare(layout, config, missing, force)
            epochs = {unit_name(spec): sum(stage.epochs for stage in spec.settings.stages) for spec in missing}
            emit(Event("plan", "", {"epochs": epochs}))
            _run_units(_units(missing), config, emit, launch or Processes())
        for name, folds in specs.items():
            if all(spec.paths.valid.exists() for spec in folds):
                for spec in folds:
                    delete(spec.paths)  # left where the process died right after its last file
                _join(layout, folds)
                _tell(layout, name, folds, emit)
        if not missing:
            emit(Event("fresh", "train", {"stage": "train"}))


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the units as Ctrl-C does: each finishes its step and writes a checkpoint."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _locked(runs: Sequence[RunPaths]) -> Iterator[None]:
    if not runs:
        yield
        return
    with lock(runs[0].lock, f"run {runs[0].root.name}"), _locked(runs[1:]):
        for unfinished in runs[0].root.rglob(".*.tmp"):
            unfinished.unlink()  # what a killed process was writing
        yield


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
    """Units in two waves: features, each set once, then the folds that read them."""
    cached = {  # of runs that share features the one with the most views, which comes last
        feature_key(spec): spec
        for spec in sorted(specs, key=lambda spec: spec.settings.stages[0].cached_views)
        if spec.settings.stages[0].train == "head" and spec.settings.stages[0].cached_views > 0
    }
    return [[Unit("features", spec) for spec in cached.values()], [Unit("fold", spec) for spec in specs]]


def _run_units(waves: list[list[Unit]], config: Config, emit: Emit, launch: Launch) -> None:
    workers = config.train.workers or len(visible_gpus()) or max(1, (os.cpu_count() or 1) // 2)
    failures: list[TrainingError] = []
    for wave in waves:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            try:
                futures = [pool.submit(launch, unit, emit) for unit in wave]
                for future in as_completed(futures):
                    error = future.exception()
                    if isinstance(error, TrainingError):
                        failures.append(error)
                    elif error is not None:
                        raise error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                launch.end()
                raise
        if failures:
            raise failures[0]


class Launch(Protocol):
    """Runs units, from several threads."""

    def __call__(self, unit: Unit, emit: Emit) -> None:
        """Run one to its end and pass its reports on; raises `TrainingError` where it failed."""

    def end(self) -> None:
        """Ask those that run to save their state and end."""


class Processes:
    """`Launch` of a process for every unit."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []
        self._cards = Cards(visible_gpus())

    def __call__(self, unit: Unit, emit: Emit) -> None:
        paths = unit.spec.paths
        paths.root.mkdir(parents=True, exist_ok=True)
        about = {"kind": unit.kind, "run": unit.spec.run, "fold": unit.spec.fold}
        with paths.errors.open("w") as errors, self._cards.environment() as environment:
            process = subprocess.Popen(
                [sys.executable, "-m", "kit.train.worker", unit.kind, str(paths.spec)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
            self._started.append(process)
            said: dict[str, Any] = {}
            with process:
                for line in process.stdout or ():
                    report = json.loads(line)
                    said = report if report["event"] == "error" else said
                    emit(Event("unit", unit.name, {**about, **report}))
        if process.returncode != 0:
            raise _failure(unit, process.returncode, said, paths.errors)
        emit(Event("unit", unit.name, {**about, "event": "done"}))

    def end(self) -> None:
        for process in self._started:
            process.terminate()


def _failure(unit: Unit, code: int, said: dict[str, Any], errors: Path) -> TrainingError:
    if said:
        return TrainingError(said["message"], said["hint"])
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        return TrainingError(f"{unit.name} was asked to end and has saved its state", f"kit train {unit.spec.run}")
    if code == -signal.SIGKILL:
        return TrainingError(f"{unit.name} was killed, most likely for want of memory", "[train] workers = 1")
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else "no message"
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return TrainingError(f"{unit.name} {how}: {last}", f"cat {errors}")


def _join(layout: Layout, folds: Sequence[FoldSpec]) -> None:
    """Write ``oof.npz`` and ``test.npz`` of a complete run; its manifest names the first when both are there."""
    paths = folds[0].run_paths
    manifest = read_json(paths.manifest)
    if "oof" in manifest and paths.oof.exists():
        return
    _out_of_fold([load_predictions(spec.paths.valid) for spec in folds], int(manifest["n_folds"]), layout).save(
        paths.oof
    )
    if folds[0].paths.test.exists():
        parts = [load_predictions(spec.paths.test) for spec in folds]
        mean = mean_of_folds(np.stack([part.logits for part in parts]))
        Predictions(parts[0].ids, parts[0].classes, parts[0].views, mean).save(paths.test)
    write_json(paths.manifest, {**manifest, "oof": sha256_file(paths.oof)})


def _out_of_fold(parts: Sequence[Predictions], n: int, layout: Layout) -> Predictions:
    """One prediction a validated row, in the order of the index: the mean of the repeats'."""
    known = {name for part in parts for name in part.ids.tolist()}
    ids = np.array([name for name in load_index(layout).ids if name in known])
    repeats = [concatenate(parts[start : start + n], ids) for start in range(0, len(parts), n)]
    mean = mean_of_folds(np.stack([repeat.logits for repeat in repeats]))
    return Predictions(ids, repeats[0].classes, repeats[0].views, mean)


def _tell(layout: Layout, name: str, folds: Sequence[FoldSpec], emit: Emit) -> None:
    paths, index = folds[0].run_paths, load_index(layout)
    labels = dict(zip(index.ids, index.labels.tolist(), strict=True))
    found = {"": load_predictions(paths.oof)}
    if folds[0].settings.validate_augment:
        parts = [load_predictions(spec.paths.valid_augmented) for spec in folds]
        found[", augmented rows"] = _out_of_fold(parts, int(read_json(paths.manifest)["n_folds"]), layout)
    for what, oof in found.items():
        right = oof.logits[0].argmax(axis=1) == np.array([labels[name] for name in oof.ids.tolist()])
        accuracy = float(right.mean())
        error = float(np.sqrt(accuracy * (1 - accuracy) / len(right)))
        emit(Event("number", f"{name}: accuracy out of fold{what}", {"value": accuracy, "error": error, "run": name}))
