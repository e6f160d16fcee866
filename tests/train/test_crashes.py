"""A training that dies at any write goes on to the same bytes; what goes wrong is said and costs nothing else."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import fingerprint
from stub import InProcess, StubLearner, StubTrainer

from kit.base.events import Event
from kit.base.process import ENDING
from kit.config import load
from kit.errors import KitError, TrainingError
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.stages.train.checkpoint import Checkpoint, Interrupt, Interrupted
from kit.stages.train.fold import train_fold
from kit.stages.train.loop import TrainingStage
from kit.stages.train.train import train
from kit.store.layout import Layout

pytestmark = pytest.mark.matrix

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 2
[train]
workers = 1
[runs.a]
backbone = "plain-cnn"
views = ["identity"]
batch_size = 16
stages = [
  { train = "all", epochs = 2, lr = 0.5, early_stopping = { patience = 1, metric = "accuracy" } },
  { train = "all", epochs = 2, lr = 0.5, schedule = { kind = "plateau", patience = 1 } },
]
[runs.b]
extends = "a"
seed = 1
sampling = "over"
"""


@pytest.fixture
def folder(make_project: Callable[..., Path]) -> Path:
    """A project with two kinds of noisy pictures, cleaned and split."""
    made = make_project(CONFIG)
    rng = np.random.default_rng(0)
    labels = (np.arange(90) % 3 == 0).astype(np.int64)
    images = rng.integers(0, 120, (90, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 60
    np.savez(made / "small.npz", images=images, labels=labels)
    Project(made).folds()
    return made


def specification(folder: Path) -> Any:
    layout = Layout(folder)
    return plan_runs(layout, load(layout.config), ["a"])["a"][0]


def silent(line: dict[str, Any]) -> None:
    """Nobody listens."""


def test_a_crash_at_any_write_changes_nothing_and_repeats_one_epoch_at_most(folder: Path, tmp_path: Path) -> None:
    # One run: all of another's writes are its own again, and the trials grow with the square of the writes.
    (folder / "kit.toml").write_text(CONFIG.partition("[runs.b]")[0])
    script = Path(__file__).with_name("crashes.py")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(scratch)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["writes"] > 10
    for trial in found["trials"]:
        assert trial["codes"] == [77, 0], trial
        assert trial["same"], trial
        assert trial["repeated"] <= 1, trial


class Signalled(StubTrainer):
    """Asks its own process to end at a step."""

    at = 0
    steps = 0
    number = signal.SIGTERM

    def stage(self, number: int) -> TrainingStage:
        trainer = self

        class Learner(StubLearner):
            def step(self, inputs: Any, labels: Any, rate: float) -> float:
                Signalled.steps += 1
                if Signalled.steps == Signalled.at:
                    os.kill(os.getpid(), Signalled.number)
                return super().step(inputs, labels, rate)

        return TrainingStage(Learner(trainer), lambda epoch: trainer.images, None)


@pytest.mark.parametrize(("at", "number"), list(zip([1, 2, 5, 6], ENDING, strict=True)))
def test_a_signal_ends_after_the_step_and_not_one_step_is_repeated(
    folder: Path, at: int, number: signal.Signals
) -> None:
    spec = specification(folder)
    before = {one: signal.getsignal(one) for one in ENDING}
    Signalled.at, Signalled.steps, Signalled.number = 0, 0, number
    try:
        train_fold(spec, Signalled, silent, Interrupt())
        expected, total = spec.paths.valid.read_bytes(), Signalled.steps
        history = spec.paths.history.read_bytes()
        for path in spec.paths.root.iterdir():
            path.unlink()
        Signalled.at, Signalled.steps = at, 0
        signal.signal(number, signal.SIG_DFL)  # tests that run in the background are deaf to some
        with pytest.raises(Interrupted) as caught:
            train_fold(spec, Signalled, silent, Interrupt().listen())
        assert caught.value.code == 128 + number
        assert Signalled.steps == at
        train_fold(spec, Signalled, silent, Interrupt())
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert Signalled.steps == total
    assert spec.paths.valid.read_bytes() == expected
    assert spec.paths.history.read_bytes() == history


class Exploding(StubTrainer):
    """Its loss is no number from a step on."""

    def stage(self, number: int) -> TrainingStage:
        trainer, count = self, iter(range(10**6))

        class Learner(StubLearner):
            def step(self, inputs: Any, labels: Any, rate: float) -> float:
                super().step(inputs, labels, rate)
                return float("nan") if next(count) == 3 else 0.5

        return TrainingStage(Learner(trainer), lambda epoch: trainer.images, None)


def test_a_loss_that_is_no_number_leaves_the_best_weights_in_the_checkpoint(folder: Path) -> None:
    spec = specification(folder)
    with pytest.raises(TrainingError, match="the loss of run `a` fold 0 became nan in epoch 2") as caught:
        train_fold(spec, Exploding, silent, Interrupt())
    assert "smaller lr than 0.5" in caught.value.hint
    kept = Checkpoint(spec.paths, spec.key)
    assert kept.position == (0, 1, 0)
    assert np.isfinite(kept.part("best")["kernel"]).all()
    assert not spec.paths.valid.exists()


def test_a_full_disk_is_an_error_and_the_training_goes_on_when_there_is_room(folder: Path) -> None:
    spec = specification(folder)
    train_fold(spec, StubTrainer, silent, Interrupt())
    expected = spec.paths.valid.read_bytes()
    for path in spec.paths.root.iterdir():
        path.unlink()
    epochs: list[int] = []

    def fill_the_disk(line: dict[str, Any]) -> None:
        epochs.append(line["event"] == "epoch")
        if sum(epochs) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(KitError, match=r"cannot write .*checkpoint"):
            train_fold(spec, StubTrainer, fill_the_disk, Interrupt())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(spec.paths.root.glob("*.tmp"))
    assert Checkpoint(spec.paths, spec.key).resumed
    train_fold(spec, StubTrainer, silent, Interrupt())
    assert spec.paths.valid.read_bytes() == expected


def test_a_damaged_checkpoint_gives_way_to_the_one_before(folder: Path) -> None:
    spec = specification(folder)
    whole = fingerprint_of_fold(spec)
    for generation in (0, 1):
        with pytest.raises(Interrupted):
            train_fold(spec, StubTrainer, silent, Expiring(epochs=3))
        path = spec.paths.checkpoint(generation)
        path.write_bytes(path.read_bytes()[:200])
        assert Checkpoint(spec.paths, spec.key).resumed
        assert fingerprint_of_fold(spec) == whole


def test_the_checkpoint_of_another_configuration_is_not_taken(folder: Path) -> None:
    spec = specification(folder)
    with pytest.raises(Interrupted):
        train_fold(spec, StubTrainer, silent, Expiring(epochs=1))
    assert Checkpoint(spec.paths, spec.key).resumed
    assert not Checkpoint(spec.paths, "another").resumed


class Expiring(Interrupt):
    """Comes after a number of epochs."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._left = epochs

    def check(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Interrupted(signal.SIGTERM)


def fingerprint_of_fold(spec: Any) -> list[bytes]:
    train_fold(spec, StubTrainer, silent, Interrupt())
    found = [path.read_bytes() for path in (spec.paths.valid, spec.paths.weights, spec.paths.history)]
    for path in spec.paths.root.iterdir():
        path.unlink()
    return found


def test_best_weights_are_kept_and_a_stage_that_does_not_gain_ends(folder: Path) -> None:
    text = (folder / "kit.toml").read_text().replace("epochs = 2, lr = 0.5, early", "epochs = 30, lr = 0.5, early")
    (folder / "kit.toml").write_text(text)
    spec = specification(folder)
    judged: list[tuple[int, float]] = []

    def hear(line: dict[str, Any]) -> None:
        if line["event"] == "epoch":
            judged.append((line["stage"], line["inner_accuracy"]))

    train_fold(spec, StubTrainer, hear, Interrupt())
    first = [accuracy for stage, accuracy in judged if stage == 0]
    assert len(first) < 30
    assert first.index(max(first)) == len(first) - 2


def test_one_run_that_fails_leaves_the_others_to_finish(folder: Path) -> None:
    class Launch(InProcess):
        def __call__(self, unit: Any, emit: Any) -> None:
            if unit.spec.run == "a" and unit.spec.fold == 0:
                raise TrainingError("out of luck")
            super().__call__(unit, emit)

    heard: list[Event] = []
    layout = Layout(folder)
    with pytest.raises(TrainingError, match="out of luck"):
        train(layout, load(layout.config), heard.append, launch=Launch())
    assert len(list(folder.glob("runs/*/fold-*/valid.npz"))) == 3
    train(layout, load(layout.config), heard.append, launch=InProcess())
    assert len(fingerprint(folder)) > 10
    assert len(list(folder.glob("runs/*/oof.npz"))) == 2
