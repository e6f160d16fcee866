"""Steps with the whole input pipeline against the same step on one batch in memory, and RandAugment alone.

    python benchmarks/train_pipeline.py [--steps 30] [--rounds 3] [--images PROJECT/data/images.npy]

The pipeline is dihedral, RandAugment(3, .5) and CutMix on 96 px images, batch 32, prepared by threads beside the
network; or, with ``--images``, dihedral alone on the images of a project, which are decoded if they are streams. The
two sides take turns, and what counts is the processor time of all threads, because both cores work. Of
RandAugment alone there are two peers: keras-cv's layer as it is under the kit's seeds, which gives the same bytes, and
in a parallel ``tf.data`` map, which gives other bytes at every run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from machine import machine

SIZE, BATCH, CLASSES = 96, 32, 8
OPS: list[dict[str, Any]] = [
    {"op": "dihedral"},
    {"op": "randaugment", "ops": 3, "magnitude": 0.5},
    {"op": "cutmix"},
]


def batches(steps: int, pipeline: Any, given: Any = None) -> Any:
    """The batches of an epoch as training prepares them, of noise unless images are ``given``."""
    from kit.runs.batches import EpochRows, batch_maker, prefetched

    n = BATCH * steps
    images = given
    if given is None:
        images = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[np.arange(n) % CLASSES]
    order = np.random.default_rng(1).permutation(n)
    return prefetched(batch_maker(EpochRows(images, labels, order), BATCH, 7, pipeline), range(steps))


def learner(backbone: str, size: int) -> Any:
    """The compiled step of a network whose layers all learn."""
    from kit.config import StageConfig
    from kit.runtime.backbones import build
    from kit.stages.train.networks import cross_entropy, make_optimizer, set_trainable
    from kit.stages.train.trainer import compile_step

    stage = StageConfig(train="all", epochs=1)
    network = build({"backbone": backbone, "size": size, "classes": CLASSES, "head": {}})
    set_trainable(network, stage, backbone, pretrained=False)
    optimizer = make_optimizer(stage, network.model.trainable_variables)
    step = compile_step(network.model, optimizer, cross_entropy, CLASSES)
    return lambda inputs, labels: float(step(inputs, labels, np.float32(1e-4)))


def timed(run: Callable[[], int]) -> float:
    """Things a second of a core."""
    started = time.process_time()
    count = run()
    return count / (time.process_time() - started)


def compare_steps(backbone: str, steps: int, rounds: int, pipeline: Any, images: Any = None) -> None:
    step = learner(backbone, SIZE if images is None else images.shape[1])
    (memory,) = batches(1, pipeline, images)
    step(*memory)

    def full() -> int:
        for inputs, labels in batches(steps, pipeline, images):
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
        f"{backbone}: {1e3 / both[0]:.0f} ms of a core a step with the pipeline, {1e3 / both[1]:.0f} on one batch in "
        f"memory, ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        flush=True,
    )


def compare_randaugment(steps: int, rounds: int) -> None:
    import keras_cv
    import tensorflow as tf

    from kit.config import AugmentConfig
    from kit.images.augment import choice
    from kit.images.augment.pipeline import Pipeline

    policy = [AugmentConfig(op="randaugment", ops=3, magnitude=0.5)]
    ours = Pipeline(policy, SIZE, CLASSES)
    with mock.patch.object(choice, "randaugment", as_it_is):
        plain = Pipeline(policy, SIZE, CLASSES)
    layer = keras_cv.layers.RandAugment((0, 255), augmentations_per_image=3, magnitude=0.5)
    n = BATCH * steps
    images = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
    source = tf.data.Dataset.from_tensor_slices(images)
    augmented = source.map(lambda x: layer(tf.cast(x, tf.float32)), num_parallel_calls=tf.data.AUTOTUNE)
    # Image by image is its faster form; on whole batches it loops inside of the layer.
    parallel = augmented.batch(BATCH).prefetch(4)
    sides = {
        "the kit's": lambda: BATCH * sum(1 for _ in batches(steps, ours)),
        "keras-cv's under the kit's seeds": lambda: BATCH * sum(1 for _ in batches(steps, plain)),
        "keras-cv's in a parallel map": lambda: BATCH * sum(1 for _ in parallel),
    }
    for run in sides.values():
        run()
    # The threads of a parallel map go on for a while after its end, so it does not take turns with the others.
    *ours_and_plain, last = sides.values()
    turns = [[timed(run) for run in ours_and_plain] for _ in range(rounds)]
    found = [[*rates, timed(last)] for rates in turns]
    for name, column in zip(sides, zip(*found, strict=True), strict=True):
        ratios = sorted(row[0] / rate for row, rate in zip(found, column, strict=True))
        taken = 1e3 * BATCH / statistics.median(column)
        print(
            f"RandAugment(3, .5), {name}: {taken:.1f} ms of a core for {BATCH} images, "
            f"{statistics.median(ratios):.2f} times the kit's ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )


def as_it_is(ops: int, magnitude: float) -> Any:
    """RandAugment as keras-cv computes it, in the place of the kit's entry."""
    from kit.images.augment.pipeline import layer_op

    return layer_op("RandAugment", (0, 255), augmentations_per_image=ops, magnitude=magnitude)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="*", default=["plain-cnn", "mobilenetv2", "efficientnetv2-b0"])
    parser.add_argument("--images", type=Path)
    options = parser.parse_args()
    import tensorflow as tf

    from kit.runs.units.worker import THREADS

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    print(machine(), flush=True)
    if not options.images:
        compare_randaugment(options.steps, options.rounds)
    tf.config.experimental.enable_op_determinism()  # as in training; the peer above refuses to run under it
    from kit.config import AugmentConfig
    from kit.images.augment.pipeline import Pipeline
    from kit.store.encoded import open_images

    images, ops, size = None, OPS, SIZE
    if options.images:
        images, ops = open_images(options.images), OPS[:1]
        size = images.shape[1]
        if len(images) < BATCH * options.steps:
            parser.error(f"{options.images} has {len(images)} images, fewer than {BATCH} x {options.steps}")
    pipeline = Pipeline([AugmentConfig(**op) for op in ops], size, CLASSES)
    for backbone in options.backbones:
        compare_steps(backbone, options.steps, options.rounds, pipeline, images)


if __name__ == "__main__":
    main()
