"""Networks of TensorFlow on three nodes: the bytes of one machine, stress included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashes import fingerprint

pytestmark = [
    pytest.mark.tf,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 3
[stress]
rows = 10
[runs.a]
backbone = "two-conv-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 3, lr = 2e-3, early_stopping = 2 }]
views = ["identity", "flip-lr"]
batch_size = 16
[runs.b]
extends = "a"
backbone = "residual-cnn"
[runs.m]
backbone = "mobilenetv2"
weights = "w.weights.h5"
views = ["identity"]
stages = [{ train = "head", epochs = 2, cached_views = 2 }, { train = "last-block", epochs = 1 }]
"""
WEIGHTS = """
import sys, keras
keras.utils.set_random_seed(0)
keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None).save_weights(sys.argv[1])
"""


def prepare(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = (np.arange(90) % 3 == 0).astype(np.int64)
    images = rng.integers(0, 120, (90, 32, 32, 3), dtype=np.uint8)
    images[labels == 1, 8:24, 8:24] += 100
    np.savez(folder / "small.npz", images=images, labels=labels)
    return folder


def kit(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "kit", *arguments],
        cwd=folder, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def trained(folder: Path) -> dict[str, str]:
    """Hashes of all that was written but for what names the project's own folder."""
    return {name: sha for name, sha in fingerprint(folder).items() if not ("fold-" in name and "stress.json" in name)}


def test_commands_on_a_cluster_leave_the_bytes_of_one_machine(
    make_project: Callable[..., Path], make_cluster: Callable[[int], Any]
) -> None:
    here, there = prepare(make_project(CONFIG, "here")), prepare(make_project(CONFIG, "there"))
    weights = here / "w.weights.h5"
    subprocess.run([sys.executable, "-c", WEIGHTS, str(weights)], check=True, capture_output=True)
    shutil.copy(weights, there)
    kit(here, "train")
    kit(here, "stress")
    address = make_cluster(3).address
    kit(there, "train", "--engine", "ray", RAY_ADDRESS=address)
    kit(there, "stress", "--engine", "ray", RAY_ADDRESS=address)
    assert trained(there) == trained(here)
    assert len(list(there.glob("runs/features/*/*.npy"))) == 2
    assert "train: fresh" in kit(there, "train", "--engine", "ray", RAY_ADDRESS="127.0.0.1:1")
