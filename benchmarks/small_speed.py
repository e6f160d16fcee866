"""Milliseconds of a core for a training step of one small image: networks from scratch, in float32 and bfloat16.

    python benchmarks/small_speed.py [--sides 28 32] [--rounds 3] [--steps 4]

Networks and precisions take turns; the figure is the median of the rounds, in processor time of two TensorFlow threads.
``keras`` is `resnet-small` with BatchNorm as Keras computes it, `relative` is to `plain-cnn` in float32.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine

from kit.config import StageConfig
from kit.runtime import scratch
from kit.runtime.backbones import build
from kit.stages.train.networks import computing_in, cross_entropy, make_optimizer, set_trainable
from kit.stages.train.trainer import compile_step

NETWORKS = ("plain-cnn", "residual-cnn", "resnet-small", "resnet-medium", "keras")
BATCH = 256


@contextmanager
def batch_norm_of_keras() -> Any:
    import keras

    with mock.patch.object(scratch, "_fused", lambda: keras.layers.BatchNormalization):
        yield


def stepper(name: str, side: int, precision: str) -> Callable[[], float]:
    """One step of a network, which returns its seconds of a processor."""
    backbone = "resnet-small" if name == "keras" else name
    with computing_in(precision):
        described: Any = {"backbone": backbone, "size": side, "classes": 10, "head": {}}
        if name == "keras":
            with batch_norm_of_keras():
                network = build(described)
        else:
            network = build(described)
    stage = StageConfig(train="all", epochs=1, optimizer="sgd")
    set_trainable(network, stage, backbone, pretrained=False)
    optimizer = make_optimizer(stage, network.model.trainable_variables, precision)
    step = compile_step(network.model, optimizer, cross_entropy, 10)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, side, side, 3)).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[rng.integers(0, 10, BATCH)]

    def timed() -> float:
        started = time.process_time()
        float(step(images, labels, np.float32(0.01)))
        return time.process_time() - started

    timed(), timed()  # compiles
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[28, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    print(machine())
    for side in options.sides:
        cases = [(name, precision) for name in NETWORKS for precision in ("float32", "mixed_bfloat16")]
        steppers = {case: stepper(case[0], side, case[1]) for case in cases}
        found: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
        for _ in range(options.rounds):
            for case in cases:
                found[case].append(sum(steppers[case]() for _ in range(options.steps)) / options.steps)
        taken = {case: 1e3 * median(values) / BATCH for case, values in found.items()}
        for name in NETWORKS:
            whole, half = (taken[name, precision] for precision in ("float32", "mixed_bfloat16"))
            plain = taken["plain-cnn", "float32"]
            print(
                f"{side} px {name:14} float32 {whole:.2f} ms, bfloat16 {half:.2f} ms ({half / whole:.2f}), "
                f"relative {whole / plain:.2f} and {half / plain:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
