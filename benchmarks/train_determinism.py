"""What deterministic kernels and narrower numbers do to steps a second of a core.

    python benchmarks/train_determinism.py [--backbones plain-cnn mobilenetv2] [--rounds 3] [--seconds 5]

Every side is a process of its own, because determinism is switched on once; sides take turns, so that what else the
machine does falls on all of them. The step is that of training (96 px, batch 32, all layers) on one batch in memory.
The peer is the same step without `enable_op_determinism`, in float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from machine import machine

SIZE, BATCH, CLASSES = 96, 32, 8
# Determinism, precision.
SIDES = {
    "free": (False, "float32"),
    "deterministic": (True, "float32"),
    "deterministic, mixed_bfloat16": (True, "mixed_bfloat16"),
    "deterministic, mixed_float16": (True, "mixed_float16"),
}


def measure(backbone: str, deterministic: bool, precision: str, seconds: float) -> float:
    """Steps a second of a core."""
    import tensorflow as tf

    from kit.runs.units.worker import THREADS

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    step, batch = make_step(backbone, precision)
    for _ in range(2):
        step(*batch)
    started, count = time.process_time(), 0
    while time.process_time() - started < seconds:
        step(*batch)
        count += 1
    return count / (time.process_time() - started)


def make_step(backbone: str, precision: str) -> tuple[Any, Any]:
    import keras

    from kit.config import StageConfig
    from kit.runtime.backbones import build
    from kit.stages.train.networks import computing_in, cross_entropy, make_optimizer, set_trainable
    from kit.stages.train.trainer import compile_step

    keras.utils.set_random_seed(0)
    stage = StageConfig(train="all", epochs=1)
    with computing_in(precision):
        network = build({"backbone": backbone, "size": SIZE, "classes": CLASSES, "head": {}})
    set_trainable(network, stage, backbone, pretrained=False)
    optimizer = make_optimizer(stage, network.model.trainable_variables, precision)
    step = compile_step(network.model, optimizer, cross_entropy, CLASSES)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]
    return (lambda x, y: float(step(x, y, np.float32(1e-4)))), (images, labels)


def in_a_process(backbone: str, side: str, seconds: float) -> float:
    command = [sys.executable, __file__, "--side", side, "--backbones", backbone, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return float("nan")  # a kernel that this machine does not have
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="*", default=["plain-cnn", "mobilenetv2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--side", choices=SIDES, help="measure one side in this process")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options.backbones[0], *SIDES[options.side], options.seconds)))
        return
    print(machine(), flush=True)
    for backbone in options.backbones:
        rounds = []
        for _ in range(options.rounds):
            rounds.append({side: in_a_process(backbone, side, options.seconds) for side in SIDES})
        for side in SIDES:
            rates, ratios = [r[side] for r in rounds], sorted(r[side] / r["free"] for r in rounds)
            print(
                f"{backbone}, {side}: {statistics.median(rates):.2f} steps a core second, ratio to the free one "
                f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
