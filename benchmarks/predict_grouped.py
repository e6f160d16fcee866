"""Networks of five folds as one network with their weights stacked, against one after the other.

    python benchmarks/predict_grouped.py [--networks residual-cnn mobilenetv2] [--folds 5] [--size 96] [--batch 32]

Needs `pip install "kit[openvino,litert]"`. All networks see the same images. A convolution of the stacked network has
as many groups as there are folds, the first one, which sees the image, none; depthwise ones and BatchNorm have the
channels of all folds, and a dense layer is a product of stacks of matrices. Weights and images are drawn. Engines take
turns; ratios are of medians of processor time with one thread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from machine import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["residual-cnn", "mobilenetv2"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    from kit.runs.units.networks import ENGINES, convert
    from kit.runtime.backbones import build
    from kit.runtime.lazy import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print(machine(), f"{options.folds} folds, batches of {options.batch}, {options.size} px", flush=True)
    for name in options.networks:
        described: Any = {"backbone": name, "size": options.size, "classes": 8, "head": {}}
        models = [build(described).model for _ in range(options.folds)]
        rng = np.random.default_rng(0)
        for weight in [weight for model in models for weight in model.weights if len(weight.shape) == 1]:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))  # as drawn the outputs would all but vanish
        stacked = Stacked(models)
        images = rng.uniform(0, 255, (options.batch, options.size, options.size, 3)).astype(np.float32)
        expected = np.concatenate([np.asarray(model(images, training=False)) for model in models], axis=1)
        signature = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
        traced = tf.function(stacked, autograph=False).get_concrete_function(signature)
        for key, engine in ENGINES.items():
            each = [engine.forward(convert(key, model), 1) for model in models]
            whole = engine.forward(engine.to_bytes(traced), 1)
            seconds = np.empty((1 + options.rounds, 2))
            for row in seconds:
                row[0] = timed(each, images)
                row[1] = timed([whole], images)
            apart = np.abs(whole(images) - expected).max()
            ratio = np.divide(*np.median(seconds[1:], axis=0))
            print(f"{name} in {engine.title}: stacked is {ratio:.2f} times as fast, within {apart:.0e}", flush=True)


def timed(forwards: Any, images: Any) -> float:
    """Processor seconds of all passes."""
    before = time.process_time()
    for forward in forwards:
        forward(images)
    return time.process_time() - before


class Stacked:
    """Equal networks at once: images (B, S, S, 3) to the outputs of each, one after the other in the last axis."""

    def __init__(self, models: list[Any]) -> None:
        self._models = models
        self._weights = {id(weight): np.asarray(weight) for model in models for weight in model.weights}

    def __call__(self, images: Any) -> Any:
        return self._run(self._models, [images])

    def _run(self, models: list[Any], inputs: list[Any]) -> Any:
        known = {id(tensor): value for tensor, value in zip(models[0].inputs, inputs, strict=True)}
        for _, nodes in sorted(models[0]._nodes_by_depth.items(), reverse=True):
            for node in nodes:
                if type(node.operation).__name__ == "InputLayer":
                    continue
                place = models[0].operations.index(node.operation)
                given = [known[id(tensor)] for tensor in node.input_tensors]
                known[id(node.outputs[0])] = self._apply([model.operations[place] for model in models], given, node)
        return known[id(models[0].outputs[0])]

    def _all(self, layers: list[Any], name: str, axis: int = -1) -> Any:
        return np.concatenate([self._weights[id(getattr(layer, name))] for layer in layers], axis)

    def _apply(self, layers: list[Any], given: list[Any], node: Any) -> Any:
        from kit.runtime.lazy import keras, tf

        first, x, kind = layers[0], given[0], type(layers[0]).__name__
        if hasattr(first, "_nodes_by_depth"):
            return self._run(layers, given)
        if kind == "Conv2D":  # the number of groups follows from the channels of the kernel
            made = keras.ops.conv(x, self._all(layers, "kernel"), strides=first.strides, padding=first.padding)
        elif kind == "DepthwiseConv2D":
            kernel = self._all(layers, "kernel", 2)
            made = tf.nn.depthwise_conv2d(x, kernel, (1, *first.strides, 1), first.padding.upper())
        elif kind == "BatchNormalization":
            scale = self._all(layers, "gamma") / np.sqrt(self._all(layers, "moving_variance") + first.epsilon)
            return x * scale + (self._all(layers, "beta") - self._all(layers, "moving_mean") * scale)
        elif kind == "Dense":
            kernels = np.stack([self._weights[id(layer.kernel)] for layer in layers])
            parts = tf.reshape(x, (-1, len(layers), kernels.shape[1]))
            made = tf.reshape(tf.einsum("bkc,kcd->bkd", parts, kernels), (-1, len(layers) * kernels.shape[2]))
        else:  # what treats all channels alike
            tensors = iter(given)
            arguments, keywords = keras.tree.map_structure(
                lambda value: next(tensors) if isinstance(value, keras.KerasTensor) else value,
                (node.arguments.args, node.arguments.kwargs),
            )
            return first(*arguments, **keywords)
        return first.activation(made + self._all(layers, "bias") if first.use_bias else made)


if __name__ == "__main__":
    main()
