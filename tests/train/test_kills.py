"""SIGKILL from outside, to the whole process group, at instants drawn at random."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from crashes import fingerprint

from kit.base.events import Event
from kit.project import Project

pytestmark = pytest.mark.tf

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 2
[runs.a]
backbone = "two-conv-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 3, lr = 2e-3, early_stopping = 2 }]
views = ["identity"]
batch_size = 16
"""
EPOCHS = 2 * 3


def write_project(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "kit.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    labels = (np.arange(90) % 3 == 0).astype(np.int64)
    images = rng.integers(0, 120, (90, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 100
    np.savez(folder / "small.npz", images=images, labels=labels)
    Project(folder).folds()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    write_project(folder)
    subprocess.run([sys.executable, "-m", "kit", "train"], cwd=folder, check=True, capture_output=True)
    return folder


DRIVER = """
from kit.project import Project
def hear(event):
    if event.kind == "unit" and event.data["event"] == "epoch":
        with open("epochs.txt", "a") as file:
            file.write("x")
Project(emit=hear).train()
"""


def epochs_of(folder: Path) -> int:
    path = folder / "epochs.txt"
    return len(path.read_text()) if path.exists() else 0


def kill_and_continue(whole: Path, folder: Path, seed: int) -> None:
    """Kill some seconds after some epoch: by the clock alone a slow machine is hit too early, a fast one too late."""
    rng = np.random.default_rng(seed)
    after, seconds = int(rng.integers(EPOCHS)), float(rng.uniform(0, 4))
    write_project(folder)
    # A group of its own: the kill must not reach the test.
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while epochs_of(folder) < after and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    heard: list[Event] = []
    Project(folder, emit=heard.append).train()
    before = epochs_of(folder)
    again = sum(event.kind == "unit" and event.data["event"] == "epoch" for event in heard)
    # What was reported is in a checkpoint: of the epoch that ran, a part is done twice.
    assert before + again <= EPOCHS
    assert fingerprint(folder) == fingerprint(whole)


def test_a_training_killed_at_an_instant_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    kill_and_continue(whole, tmp_path / "project", seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 30))
def test_thirty_instants(whole: Path, tmp_path: Path, seed: int) -> None:
    kill_and_continue(whole, tmp_path / "project", seed)
