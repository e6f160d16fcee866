"""Where a step of bfloat16 loses what its convolutions gain: operations of MobileNetV2 and others by themselves.

    python benchmarks/precision_ops.py [--rounds 3]

Milliseconds of a core for a batch of 32, in float32 and in bfloat16, which take turns. The shapes are those of images
of 96 px. The peer of every line is the same operation in float32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from machine import machine

BATCH, CALLS = 32, 4
# Side, channels and stride of depthwise convolutions; those of stride 2 are padded before.
DEPTHWISE = [(24, 144, 1), (6, 576, 1), (49, 96, 2), (25, 144, 2)]


def depthwise(side: int, channels: int, stride: int, dtype: Any) -> dict[str, Callable[[], Any]]:
    """A depthwise convolution and its two gradients."""
    x, w = drawn((BATCH, side, side, channels), dtype), drawn((3, 3, channels, 1), dtype)
    told: dict[str, Any] = {"strides": [1, stride, stride, 1], "padding": "VALID" if stride > 1 else "SAME"}
    y = tf.nn.depthwise_conv2d(x, w, **told)
    name, raw = f"depthwise, {side} px, {channels} channels, stride {stride}", tf.raw_ops
    found = {
        name: lambda x, w, y: tf.nn.depthwise_conv2d(x, w, **told),
        f"{name}, gradient of the input": lambda x, w, y: raw.DepthwiseConv2dNativeBackpropInput(
            input_sizes=x.shape, filter=w, out_backprop=y, **told
        ),
        f"{name}, gradient of the filter": lambda x, w, y: raw.DepthwiseConv2dNativeBackpropFilter(
            input=x, filter_sizes=w.shape, out_backprop=y, **told
        ),
    }
    return {key: bound(tf.function(call), x, w, y) for key, call in found.items()}


def others(dtype: Any) -> dict[str, Callable[[], Any]]:
    """Convolutions of 1 x 1, activations and casts, with their gradients."""
    x, w = drawn((BATCH, 24, 24, 96), dtype), drawn((1, 1, 96, 24), dtype)
    wide = drawn((BATCH, 24, 24, 144), dtype)

    def gradients(call: Callable[..., Any]) -> Callable[..., Any]:
        def both(*values: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(values)
                found = call(*values)
            return tape.gradient(found, values)

        return tf.function(both)

    return {
        "convolution 1 x 1, with gradients": bound(gradients(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME")), x, w),
        "relu, with gradient": bound(gradients(tf.nn.relu), wide),
        "relu6, with gradient": bound(gradients(tf.nn.relu6), wide),
        "swish, with gradient": bound(gradients(tf.nn.silu), wide),
    }


def drawn(shape: tuple[int, ...], dtype: Any) -> Any:
    return tf.cast(np.random.default_rng(0).normal(size=shape), dtype)


def bound(call: Callable[..., Any], *values: Any) -> Callable[[], Any]:
    return lambda: call(*values)


def cost(call: Callable[[], Any]) -> float:
    """Milliseconds of a core."""
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return 1e3 * (time.process_time() - started) / CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    tf.config.experimental.enable_op_determinism()  # as in training
    print(machine(), flush=True)
    sides = []
    for dtype in (tf.float32, tf.bfloat16):
        sides.append(others(dtype))
        for shape in DEPTHWISE:
            sides[-1] |= depthwise(*shape, dtype)
    for name in sides[0]:
        calls = [side[name] for side in sides]
        for call in calls:
            call()
        rounds = [[cost(call) for call in calls] for _ in range(options.rounds)]
        whole, half = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name}: {whole:.2f} -> {half:.2f} ms, {half / whole:.2f} times as long", flush=True)


if __name__ == "__main__":
    main()
