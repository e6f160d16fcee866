"""Forward passes in OpenVINO against TensorFlow: processor time, outputs and labels, network by network.

    python benchmarks/predict_engines.py [--backbones mobilenetv2 ...] [--weights mobilenetv2=FILE.h5 ...] [--size 96]

Needs `pip install 'kit[openvino]'`. Engines take turns on the same batch, as many times as `--rounds` says, so that
what else the machine does falls on all of them; a ratio is that of their medians of processor time. bfloat16 is what
OpenVINO offers beside, on processors that have it; the kit does not use it. Labels are those of a head with random
weights on noise, so most of them are near a tie: a hard case.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

FAMILIES = [
    "mobilenetv2", "mobilenetv3-small", "efficientnet-b0", "efficientnetv2-b0", "resnet50v2", "densenet121",
    "xception", "convnext-tiny", "nasnetmobile", "residual-cnn",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=FAMILIES)
    parser.add_argument("--weights", nargs="*", default=[], metavar="BACKBONE=FILE")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    from kit.runs.units.openvino import compile_openvino
    from kit.runtime.backbones import BACKBONES, build
    from kit.runtime.forward import compile_forward
    from kit.runtime.lazy import keras, tf

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    print(machine())
    files = dict(pair.split("=", 1) for pair in options.weights)
    images = np.random.default_rng(0).integers(0, 256, (options.batch, options.size, options.size, 3))
    for name in options.backbones:
        if BACKBONES[name].smallest > options.size:
            print(f"{name}: needs {BACKBONES[name].smallest} px")
            continue
        keras.utils.set_random_seed(0)
        network = build({"backbone": name, "size": options.size, "classes": 8, "head": {}})
        if name in files:
            network.backbone.load_weights(str(Path(files[name])))
        engines: dict[str, Callable[[Any], Any]] = {"tensorflow": compile_forward(network.model)}
        for precision in ("f32", "bf16"):
            engines[precision] = compile_openvino(network.model, options.threads, precision)
        print(f"{name}{' (trained)' * (name in files)}: {compared(engines, images, options.rounds)}", flush=True)


def compared(engines: dict[str, Callable[[Any], Any]], images: Any, rounds: int) -> str:
    """Milliseconds of TensorFlow, and of each other engine the ratio to it, the difference and equal labels."""
    outputs = {name: forward(images) for name, forward in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds):
        for name, forward in engines.items():
            before = time.process_time()
            forward(images)
            seconds[name].append(time.process_time() - before)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    first, told = outputs["tensorflow"], [f"tensorflow {median['tensorflow'] * 1000:.0f} ms"]
    for name in [name for name in engines if name != "tensorflow"]:
        ratio, apart = median["tensorflow"] / median[name], np.abs(outputs[name] - first).max() / np.abs(first).max()
        same = (outputs[name].argmax(axis=1) == first.argmax(axis=1)).mean()
        told.append(f"{name} {ratio:.2f} times as fast, {apart:.0e} apart, {same:.0%} of labels equal")
    return "; ".join(told)


if __name__ == "__main__":
    main()
