"""Steps a second with the whole input pipeline against the same step on one batch in memory, and RandAugment alone.

    python benchmarks/train_pipeline.py [--steps 30] [--rounds 3]

The pipeline is dihedral, RandAugment(3, .5) and CutMix on 96 px images, batch 32, prepared by threads beside the
network. The two sides take turns, so that what else the machine does falls on both. The peer of the second part is
keras-cv's own layer in a parallel ``tf.data`` map, which gives other bytes at every run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import machine

SIZE, BATCH, CLASSES = 96, 32, 8
OPS: list[dict[str, Any]] = [
    {"op": "dihedral"},
    {"op": "randaugment", "ops": 3, "magnitude": 0.5},
    {"op": "cutmix"},
]


def batches(steps: int, pipeline: Any) -> Any:
    """The batches of an epoch as training prepares them."""
    from kit.runs.batches import EpochRows, batch_maker, prefetched

    n = BATCH * steps
    images = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(n) % CLASSES]
    order = np.random.default_rng(1).permutation(n)
    return prefetched(batch_maker(EpochRows(images, labels, order), BATCH, 7, pipeline), range(steps))


def learner(backbone: str) -> Any:
    """The compiled step of a network whose layers all learn."""
    from kit.config import StageConfig
    from kit.runtime.backbones import build
    from kit.stages.train.networks import cross_entropy, make_optimizer, set_trainable
    from kit.stages.train.trainer import compile_step

    stage = StageConfig(train="all", epochs=1)
    network = build({"backbone": backbone, "size": SIZE, "classes": CLASSES, "head": {}})
    set_trainable(network, stage, backbone, pretrained=False)
    step = compile_step(network.model, make_optimizer(stage, network.model.trainable_variables), cross_entropy)
    return lambda inputs, labels: float(step(inputs, labels, np.float32(1e-4)))


def timed(run: Callable[[], int]) -> float:
    """Things a second."""
    started = time.perf_counter()
    count = run()
    return count / (time.perf_counter() - started)


def compare_steps(backbone: str, steps: int, rounds: int, pipeline: Any) -> None:
    step = learner(backbone)
    (memory,) = batches(1, pipeline)
    step(*memory)

    def full() -> int:
        for inputs, labels in batches(steps, pipeline):
            step(inputs, labels)
        return steps

    def alone() -> int:
        for _ in range(steps):
            step(*memory)
        return steps

    pairs = [(timed(full), timed(alone)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    both = [statistics.median(side) for side in zip(*pairs, strict=True)]
    print(
        f"{backbone}: {both[0]:.2f} steps/s with the pipeline, {both[1]:.2f} on one batch in memory, "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def compare_randaugment(steps: int, rounds: int) -> None:
    import keras_cv
    import tensorflow as tf

    from kit.config import AugmentConfig
    from kit.images.augment.pipeline import Pipeline

    ours = Pipeline([AugmentConfig(op="randaugment", ops=3, magnitude=0.5)], SIZE, CLASSES)
    layer = keras_cv.layers.RandAugment((0, 255), augmentations_per_image=3, magnitude=0.5)
    n = BATCH * steps
    images = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    source = tf.data.Dataset.from_tensor_slices(images)
    augmented = source.map(lambda x: layer(tf.cast(x, tf.float32)), num_parallel_calls=tf.data.AUTOTUNE)
    # Image by image is its faster form; on whole batches it loops inside of the layer.
    parallel = augmented.batch(BATCH).prefetch(4)

    def peer() -> int:
        return BATCH * sum(1 for _ in parallel)

    def kit() -> int:
        return BATCH * sum(1 for _ in batches(steps, ours))

    peer(), kit()
    pairs = [(timed(kit), timed(peer)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    both = [statistics.median(side) for side in zip(*pairs, strict=True)]
    print(
        f"RandAugment(3, .5): {both[0]:.0f} images/s repeatable, {both[1]:.0f} by keras-cv in a parallel map, "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="*", default=["plain-cnn", "mobilenetv2", "efficientnetv2-b0"])
    options = parser.parse_args()
    import tensorflow as tf

    from kit.runs.units.worker import THREADS

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    print(machine(), flush=True)
    compare_randaugment(options.steps, options.rounds)
    tf.config.experimental.enable_op_determinism()  # as in training; the peer above refuses to run under it
    from kit.config import AugmentConfig
    from kit.images.augment.pipeline import Pipeline

    pipeline = Pipeline([AugmentConfig(**op) for op in OPS], SIZE, CLASSES)
    for backbone in options.backbones:
        compare_steps(backbone, options.steps, options.rounds, pipeline)


if __name__ == "__main__":
    main()
