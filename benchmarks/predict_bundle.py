"""`kit predict` of a bundle by engine, first and again: processor time of whole commands.

    python benchmarks/predict_bundle.py [--data DIR] [--folds 5] [--images 100] [--backbone mobilenetv2] [--size 96]

Needs `pip install "kit[openvino,litert]"`. DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``train.csv``, and
perhaps ``weights/``, as `predict_engines.py` uses them. The bundle has one member; every fold has a head of its own and
weights of its own. Each engine predicts one image and then ``--images`` of them with what it has converted: the first
command converts, that of one image says when predicting starts. The greatest difference of a probability is to
TensorFlow's. The conversions lie in a throw-away cache.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from predict_engines import cells
from predict_stress import kit, need_engines

PART = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0], "bias": [0.0] * 8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--backbone", default="mobilenetv2")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--views", nargs="+", default=["identity"])
    options = parser.parse_args()
    if options.data is None or not (Path(options.data) / "blood" / "train.zip").exists():
        sys.exit("no blood cells: --data DIR or KIT_SHARED")
    need_engines()
    what = f"{options.backbone} of {options.size} px, {options.folds} folds, {options.images} images"
    print(machine(), what, flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder / "bundle.zip", options)
        images = cells(options.data / "blood", options.images, options.size)[0].astype(np.uint8)
        for images_of, rows in (("one", images[:1]), ("all", images)):
            np.savez(folder / f"{images_of}.npz", images=rows)
        first: dict[str, Any] = {}
        for engine in ("tensorflow", "openvino", "litert"):
            seconds = {
                what: predict(folder, engine, what.split()[-1]) for what in ("first all", "again one", "again all")
            }
            with (folder / "out.csv").open(newline="") as file:
                proba = np.array([row[2:] for row in list(csv.reader(file))[1:]], float)
            first = first or {"proba": proba, **seconds}
            times = ", ".join(f"{what} {took:.1f} s ({first[what] / took:.2f})" for what, took in seconds.items())
            print(f"{engine}: {times}; within {np.abs(proba - first['proba']).max():.0e}", flush=True)


def make_bundle(path: Path, options: Any) -> None:
    """Write the zip of one member, its folds drawn, or moved away from published weights by a hundredth.

    ``options`` name its ``backbone``, ``size``, ``folds``, ``views``, and the folder ``data``.
    """
    from kit.runtime import arrays, backbones
    from kit.runtime.lazy import keras
    from kit.store.files import write_zip

    keras.utils.set_random_seed(0)
    described: Any = {"backbone": options.backbone, "size": options.size, "classes": 8, "head": {}}
    network, rng = backbones.build(described), np.random.default_rng(0)
    published = options.data / "weights" / f"{options.backbone}_imagenet_notop.weights.h5"
    if published.exists():
        network.backbone.load_weights(str(published))
    kept, files = arrays.of(network.model), dict[str, Path | bytes]()
    for fold in range(options.folds):
        moved = {key: array * rng.uniform(0.99, 1.01, array.shape).astype("float32") for key, array in kept.items()}
        file = path.with_name(f"m-{fold}.npz")
        np.savez(file, allow_pickle=True, **moved)
        files[file.name] = file
    member = {"name": "m", "network": described, "weights": sorted(files)}
    content = {
        "version": 1, "classes": [f"c{number}" for number in range(8)], "size": options.size, "views": options.views,
        "members": [member], "batch_size": 64, "resize": "fit",
        "blend": {"views": [1 / len(options.views)] * len(options.views), "parts": [PART], "bias": []},
    }  # fmt: skip
    write_zip(path, {**files, "bundle.json": json.dumps(content).encode()})


def predict(folder: Path, engine: str, images: str) -> float:
    """Processor seconds of `kit predict`, whose conversions are kept in the folder."""
    names = ("--bundle", "bundle.zip", "--input", f"{images}.npz", "--out", "out.csv", "--engine", engine)
    return kit(folder, "predict", *names, XDG_CACHE_HOME=str(folder / "cache"))


if __name__ == "__main__":
    main()
