"""OpenVINO and LiteRT against TensorFlow: time of forward passes, probabilities and labels, by network.

    python benchmarks/predict_engines.py [--data DIR] [--networks mobilenetv2 ...] [--size 96] [--threads 1]

Needs `pip install "kit[openvino,litert]"`. DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``train.csv``, and
in ``weights/`` the ImageNet weights of some networks (``NAME_imagenet_notop.weights.h5``); others have drawn weights.
Then every network is trained for ``--steps`` steps of Adam on half of the cells, for networks that were only drawn
amplify rounding more than trained ones.

Engines take turns on the same batch, so that what else the machine does falls on all of them; a ratio is that of the
medians of their processor time, and in brackets of their wall time. bfloat16 (`bf16`), which the kit does not use,
needs a processor that has it. Differences and labels are of all cells, seen or not.

``--at-once`` says instead, by engine, how much faster four views are as one batch than one after the other, and five
networks with weights of their own (as of five folds) as branches of one network.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from PIL import Image

NETWORKS = [
    "mobilenetv2", "efficientnetv2-b0", "convnext-tiny", "mobilenetv3-small", "mobilenet", "efficientnet-b0",
    "resnet50", "resnet50v2", "densenet121", "xception", "inceptionv3", "inceptionresnetv2", "vgg16", "nasnetmobile",
    "resnet-small", "resnet-medium", "residual-cnn", "plain-cnn", "regularized-cnn", "squeeze-excitation-cnn",
    "inception-cnn", "five-block-cnn", "two-conv-cnn", "feed-forward",
]  # fmt: skip
Forward = Callable[[Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED"))
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=60, help="steps of training")
    parser.add_argument("--at-once", action="store_true", help="views and folds at once, of drawn weights")
    options = parser.parse_args()
    if options.data is None or not (options.data / "blood" / "train.zip").exists():
        sys.exit("no blood cells: --data DIR or KIT_SHARED")

    from kit.runs.units.networks import ENGINES, SETTINGS, convert
    from kit.runtime.backbones import BACKBONES
    from kit.runtime.forward import compile_forward
    from kit.runtime.lazy import tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    print(machine(), f"{options.threads} threads, batches of {options.batch}, {options.size} px", flush=True)
    images, labels = cells(options.data / "blood", options.images, options.size)
    for name in options.networks:
        if BACKBONES[name].smallest > options.size:
            print(f"{name}: needs {BACKBONES[name].smallest} px")
            continue
        if options.at_once:
            print(f"{name}: {at_once(name, images[: options.batch], options.rounds, options.threads)}", flush=True)
            continue
        weights = options.data / "weights" / f"{name}_imagenet_notop.weights.h5"
        model = network(name, weights, images, labels, options.steps)
        engines: dict[str, Forward] = {"TensorFlow": compile_forward(model)}
        told = [f"{options.steps} steps {'from ImageNet' if weights.exists() else 'from drawn weights'}"]
        for title, engine, precision in (
            ("OpenVINO", "openvino", "f32"), ("OpenVINO bf16", "openvino", "bf16"), ("LiteRT", "litert", "f32")
        ):  # fmt: skip
            mode = "ACCURACY" if precision == "f32" else "PERFORMANCE"
            SETTINGS.update(INFERENCE_PRECISION_HINT=precision, EXECUTION_MODE_HINT=mode)
            before = time.process_time()
            try:
                engines[title] = ENGINES[engine].forward(convert(engine, model), options.threads)
                told.append(f"{title} converted in {time.process_time() - before:.1f} s")
            except ArithmeticError as error:
                told.append(str(error)[:100])
        print(f"{name} ({', '.join(told)}):", flush=True)
        print(compared(engines, images, options.batch, options.rounds), flush=True)


def cells(folder: Path, n: int, size: int) -> tuple[Any, Any]:
    """Images (n, size, size, 3) of blood cells, and their classes (n,)."""
    with (folder / "train.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if Path(line["file"]).name < "12500.jpg"]
    lines = lines[:: len(lines) // n][:n]
    with zipfile.ZipFile(folder / "train.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        files = [archive.read(names[Path(line["file"]).name]) for line in lines]
    pictures = [Image.open(io.BytesIO(file)).convert("RGB").resize((size, size)) for file in files]
    labels = np.unique([line["label"] for line in lines], return_inverse=True)[1]
    return np.stack([np.asarray(picture, np.float32) for picture in pictures]), labels


def network(name: str, weights: Path, images: Any, labels: Any, steps: int) -> Any:
    """The model, trained for some steps on every second image."""
    from kit.runtime.backbones import build
    from kit.runtime.lazy import keras
    from kit.stages.train.networks import layers_inside

    keras.utils.set_random_seed(0)
    built = build({"backbone": name, "size": images.shape[1], "classes": int(labels.max()) + 1, "head": {}})
    if weights.exists():
        built.backbone.load_weights(str(weights))
    for layer in layers_inside(built.model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # a hundred steps would not do for .99
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    built.model.compile(keras.optimizers.Adam(5e-4), loss)
    seen, rng = np.arange(0, len(images), 2), np.random.default_rng(0)
    for _ in range(steps):
        rows = rng.choice(seen, 32, replace=False)
        built.model.train_on_batch(images[rows], labels[rows])
    return built.model


def compared(engines: dict[str, Forward], images: Any, batch: int, rounds: int) -> str:
    """Milliseconds of TensorFlow, and of each other engine the ratio to it, how far apart they are and equal labels."""
    from kit.runtime.pool import softmax

    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    proba = {}
    for name, forward in engines.items():
        parts = [forward(images[start : start + batch]) for start in range(0, len(images), batch)]
        proba[name] = softmax(np.concatenate(parts).astype(np.float64))
    for _ in range(rounds):
        for name, forward in engines.items():
            before = time.process_time(), time.perf_counter()
            forward(images[:batch])
            seconds[name].append((time.process_time() - before[0], time.perf_counter() - before[1]))
    median = {name: np.median(values, axis=0) for name, values in seconds.items()}
    first = proba["TensorFlow"]
    told = [f"  TensorFlow {median['TensorFlow'][0] * 1000:.0f} ms a batch"]
    for name in list(engines)[1:]:
        apart, same = np.abs(proba[name] - first).max(), (proba[name].argmax(axis=1) == first.argmax(axis=1)).sum()
        ratio, wall = median["TensorFlow"] / median[name]
        times = f"{ratio:.2f} times as fast ({wall:.2f})"
        told.append(f"{name} {times}, within {apart:.0e}, {same} of {len(first)} labels equal")
    return "; ".join(told)


def at_once(name: str, batch: Any, rounds: int, threads: int, folds: int = 5, views: int = 4) -> str:
    """By engine the ratios of processor time, one after the other to at once, of views and of folds."""
    from kit.runs.units.networks import ENGINES, convert
    from kit.runtime.backbones import build
    from kit.runtime.forward import compile_forward
    from kit.runtime.lazy import keras

    described = {"backbone": name, "size": batch.shape[1], "classes": 8, "head": {}}
    models = [build(described).model for _ in range(folds)]
    for number, model in enumerate(models):
        model.name = f"fold-{number}"
    inputs = keras.Input(batch.shape[1:])
    branches = keras.Model(inputs, keras.layers.Concatenate()([model(inputs) for model in models]))
    told, many = [], np.concatenate([batch] * views)
    for engine in ("tensorflow", *ENGINES):

        def forward(model: Any, engine: str = engine) -> Forward:
            if engine == "tensorflow":
                return compile_forward(model)
            return ENGINES[engine].forward(convert(engine, model), threads)

        each, whole = [forward(model) for model in models], forward(branches)
        ways = [
            [(each[0], batch)] * views,
            [(each[0], many)],
            [(one, batch) for one in each],
            [(whole, batch)],
        ]
        seconds = np.empty((1 + rounds, len(ways)))
        for row in seconds:
            for place, way in enumerate(ways):
                before = time.process_time()
                for run, images in way:
                    run(images)
                row[place] = time.process_time() - before
        found = np.median(seconds[1:], axis=0)
        told.append(f"{engine} views {found[0] / found[1]:.2f}, folds {found[2] / found[3]:.2f}")
    return "; ".join(told)


if __name__ == "__main__":
    main()
