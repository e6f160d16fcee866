"""`Model.predict` of 3 members x 5 folds x 4 views against the bare forward passes and against the obvious loop.

    python benchmarks/bundle_speed.py [--images 256] [--rounds 3]

Two bundles with random weights: three tiny networks at 32 px, and MobileNetV2 three times at 96 px with weights of its
own for every fold. *Bare* is the sum of what every network takes for every view as one `tf.function` of the Keras model
on batches of 128 that are in memory as float32 already: no views, no checks, no blend. *Loop* is what students write:
`model.predict` of one image at a time, per member, fold and view, timed on 20 images and scaled. Bundle and bare passes
take turns, so that what else the machine does falls on both; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

FOLDS, VIEWS, CLASSES, BATCH, LOOP = 5, ["identity", "flip-lr", "flip-ud", "rot180"], 8, 128, 20
BUNDLES = {
    "tiny nets": (32, ["plain-cnn", "residual-cnn", "two-conv-cnn"]),
    "mobilenetv2": (96, ["mobilenetv2", "mobilenetv2", "mobilenetv2"]),
}


def make_bundle(folder: Path, backbones: list[str], size: int) -> list[list[Any]]:
    """Write ``bundle.json`` and weights; returns the Keras models, a list of folds for each member."""
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    models, members = [], []
    for number, backbone in enumerate(backbones):
        network = {"backbone": backbone, "size": size, "classes": CLASSES, "head": {"dropout": 0.2, "units": [64]}}
        models.append([build(network).model for _ in range(FOLDS)])
        names = [f"{number}-{fold}.npz" for fold in range(FOLDS)]
        for name, model in zip(names, models[-1], strict=True):
            np.savez(folder / name, **arrays.of(model))
        members.append({"name": f"m{number}", "network": network, "weights": names})
    m = len(members)
    part = {"share": 1.0, "temperatures": [1.0] * m, "weights": [1 / m] * m, "centre": 1.0, "slopes": [0.0] * m}
    description = {
        "version": 1,
        "classes": [str(c) for c in range(CLASSES)],
        "size": size,
        "views": VIEWS,
        "members": members,
        "blend": {"views": [1 / len(VIEWS)] * len(VIEWS), "parts": [{**part, "bias": [0.0] * CLASSES}], "bias": []},
        "batch_size": BATCH,
    }
    (folder / "bundle.json").write_text(json.dumps(description))
    return models


def bare(models: list[list[Any]], batches: list[Any]) -> Callable[[], None]:
    """Every network over every batch, once for each view."""
    import tensorflow as tf

    def compiled(model: Any) -> Any:
        shape = [None, *model.input_shape[1:]]
        return tf.function(
            lambda x: model(x, training=False), input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False
        )

    forwards = [compiled(model) for folds in models for model in folds]

    def run() -> None:
        for forward in forwards:
            for _ in VIEWS:
                for batch in batches:
                    forward(batch).numpy()

    return run


def loop(models: list[list[Any]], images: Any) -> None:
    """One image at a time through `model.predict`, then the mean."""
    from kit.runtime.views import VIEWS as TURNS

    for image in images:
        answers = [
            model.predict(np.ascontiguousarray(TURNS[view](image[None])).astype(np.float32), verbose=0)
            for folds in models
            for model in folds
            for view in VIEWS
        ]
        np.mean(answers, axis=0).argmax()


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(name: str, images: int, rounds: int) -> None:
    """Print what one bundle takes, beside its peers."""
    import tensorflow as tf

    from kit.runtime.predictor import Predictor

    size, backbones = BUNDLES[name]
    x = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        models = make_bundle(Path(folder), backbones, size)
        predictor = Predictor(folder)
    batches = [tf.constant(x[start : start + BATCH].astype(np.float32)) for start in range(0, images, BATCH)]
    peer = bare(models, batches)
    peer()
    predictor.predict(x)
    pairs = [(seconds(lambda: predictor.predict(x)), seconds(peer)) for _ in range(rounds)]
    loop(models, x[:1])
    scaled = seconds(lambda: loop(models, x[:LOOP])) * images / LOOP
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    print(
        f"{name} at {size} px, {images} images: bundle {ours:.2f} s, bare passes {theirs:.2f} s: "
        f"{statistics.median(ratios):.3f} of their speed ({ratios[0]:.3f} - {ratios[-1]:.3f}); "
        f"loop {scaled:.1f} s: {scaled / ours:.1f} times as fast"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    for name in BUNDLES:
        compare(name, arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
