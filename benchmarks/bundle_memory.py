"""Peak memory of `Model.predict` at 50,000 images against 1,000, the images themselves not counted.

    python benchmarks/bundle_memory.py [--few 1000] [--many 50000] [--size 32]

One tiny member under eight views, each count in a process of its own. What is compared is the largest resident memory
of the process less the bytes of the array that it was given, TensorFlow's own share included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import machine

CLASSES = 8


def make_bundle(folder: Path, size: int) -> None:
    """Write ``bundle.json`` and weights of one tiny member under every view."""
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.runtime.views import VIEWS

    network = {"backbone": "plain-cnn", "size": size, "classes": CLASSES, "head": {"dropout": 0.2, "units": []}}
    np.savez(folder / "0.npz", **arrays.of(build(network).model))
    part = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0]}
    description = {
        "version": 1,
        "classes": [str(c) for c in range(CLASSES)],
        "size": size,
        "views": list(VIEWS),
        "members": [{"name": "m", "network": network, "weights": ["0.npz"]}],
        "blend": {"views": [1 / len(VIEWS)] * len(VIEWS), "parts": [{**part, "bias": [0.0] * CLASSES}], "bias": []},
        "batch_size": 128,
    }
    (folder / "bundle.json").write_text(json.dumps(description))


def child(folder: str, images: int, size: int) -> None:
    """Predict and print the peak less the input, in MB."""
    from kit.runtime.predictor import Predictor

    predictor = Predictor(folder)
    x = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    predictor.predict(x)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))
    print(peak - x.nbytes / (1 << 20))


def measured(folder: str, images: int, size: int) -> float:
    command = [sys.executable, __file__, "--child", folder, "--few", str(images), "--size", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.few, arguments.size)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Path(folder), arguments.size)
        few, many = (measured(folder, images, arguments.size) for images in (arguments.few, arguments.many))
    print(
        f"{arguments.size} px, 8 views: {few:.0f} MB at {arguments.few} images, {many:.0f} MB at {arguments.many}, "
        f"without the images: {many / few:.3f} times"
    )


if __name__ == "__main__":
    main()
