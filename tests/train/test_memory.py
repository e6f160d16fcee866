"""Where memory ends: one sentence that says what to change, and nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.files import read_json
from kit.project import Project

pytestmark = pytest.mark.tf

CONFIG = """
[data]
train = "large.npz"
[folds]
n = 2
[runs.a]
backbone = "feed-forward"
stages = [{ train = "all", epochs = 1 }]
views = ["identity"]
batch_size = 4096
"""

# The limit is set when TensorFlow and its threads are there: how much address space they take differs from machine to
# machine. A batch is 200 MB as float32. Arenas of the allocator would reserve more than they use.
WITHIN = """
import resource, sys
from kit.units.worker import prepare_tensorflow
prepare_tensorflow()
import tensorflow as tf
tf.matmul(tf.ones((256, 256)), tf.ones((256, 256)))
from kit.train.worker import main
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 150 * 2**20,) * 2)
sys.exit(main("fold", sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_a_batch_that_does_not_fit_is_named_and_the_fold_can_be_trained_later(
    make_project: Callable[..., Path],
) -> None:
    folder = make_project(CONFIG)
    rng = np.random.default_rng(0)
    np.savez(folder / "large.npz", images=rng.integers(0, 256, (8400, 64, 64, 3), np.uint8), labels=np.arange(8400) % 2)
    Project(folder).train(fold=1)
    (done,) = folder.glob("runs/a-*/fold-1/spec.json")
    spec = done.parent.parent / "fold-0" / "spec.json"
    spec.parent.mkdir()
    spec.write_text(json.dumps({**read_json(done), "fold": 0}))
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    said = subprocess.run(
        [sys.executable, "-c", WITHIN, str(spec)], capture_output=True, text=True, cwd=folder, env=environment
    )
    assert said.stdout, said.stderr
    error = json.loads(said.stdout.splitlines()[-1])
    assert said.returncode == 1, said.stderr
    assert error["event"] == "error"
    assert error["message"] == "run `a` fold 0 does not fit into memory"
    assert error["hint"] == "[runs.a] batch_size = 2048, or [train] workers = 1"
    assert not (spec.parent / "valid.npz").exists()
    Project(folder).train()
    assert (spec.parent / "valid.npz").exists()
