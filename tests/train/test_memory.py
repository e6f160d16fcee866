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
from in_process import in_this_process

from kit.project import Project
from kit.runs.spec import plan_runs
from kit.runs.units.process import failure

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
from kit.runs.units.worker import prepare_tensorflow
prepare_tensorflow()
import tensorflow as tf
tf.matmul(tf.ones((256, 256)), tf.ones((256, 256)))
from kit.stages.train.worker import main
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 150 * 2**20,) * 2)
sys.exit(main("fold", sys.argv[1]))
"""


@pytest.mark.tf
@pytest.mark.skipif(sys.platform != "linux", reason="limits address space as Linux does")
def test_a_batch_that_does_not_fit_is_named_and_the_fold_can_be_trained_later(
    make_project: Callable[..., Path],
) -> None:
    folder = make_project(CONFIG)
    rng = np.random.default_rng(0)
    np.savez(folder / "large.npz", images=rng.integers(0, 256, (8400, 64, 64, 3), np.uint8), labels=np.arange(8400) % 2)
    project = Project(folder)
    project.folds()
    spec = plan_runs(project.layout, project.config, ["a"])["a"][0]
    spec.save(spec.paths.spec)
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    said = subprocess.run(
        [sys.executable, "-c", WITHIN, str(spec.paths.spec)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert said.stdout, said.stderr
    error = json.loads(said.stdout.splitlines()[-1])
    assert said.returncode == 1, said.stderr
    assert error["event"] == "error"
    assert error["message"] == "run `a` fold 0 does not fit into memory"
    assert error["hint"] == "[runs.a] batch_size = 2048, or [train] workers = 1"
    assert not spec.paths.valid.exists()
    with in_this_process():
        project.train(fold=0)
    assert spec.paths.valid.exists()


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (-9, "a fold 0 was killed, most likely because memory ran out", "[train] workers = 1"),
        (-11, "a fold 0 was killed by SIGSEGV: no message", "[train] workers = 1, if memory ran out; cat "),
        (-15, "a fold 0 was killed by SIGTERM: no message", "cat "),
        (1, "a fold 0 exited with code 1: no message", "cat "),
    ],
)
def test_a_process_that_crashed_is_told_without_the_talk_of_its_start(
    tmp_path: Path, code: int, message: str, hint: str
) -> None:
    errors = tmp_path / "stderr.txt"
    errors.write_text(
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "I0000 00:00:1795271930.973848   29235 cudart_stub.cc:31] Could not find cuda drivers.\n\n"
    )
    error = failure("a fold 0", "a", code, {}, errors)
    assert error.message == message
    assert error.hint.startswith(hint)
    errors.write_text(
        errors.read_text() + "ValueError: no\nE0000 00:00:1795271947.114294 cuda_platform.cc:52] failed\n"
    )
    assert code == -9 or failure("a fold 0", "a", code, {}, errors).message.endswith(": ValueError: no")
