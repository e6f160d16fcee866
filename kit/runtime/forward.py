"""Logits of many images in bounded memory: batches through one compiled forward pass.

A `Pass` takes the weights as an argument: an ensemble of five folds is five sets of weights of one network, which is
traced once, not five times. Preprocessing that members share and a frozen backbone that folds or members share are
evaluated once for each batch and view. That runs at .93 of the speed of the bare passes, where images one by one take
60 to 830 times as long (docs/bundle.md of the kit).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from . import preprocess
from . import views as view_table
from .backbones import Description, Network
from .lazy import tf
from .pool import sigmoid, softmax


def compile_forward(model: Any) -> Callable[[Any], Any]:
    """A compiled function from images (B, S, S, 3), 0 to 255, to the outputs of ``model``, any B, no retracing."""
    shape = (None, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    def forward(images: Any) -> Any:
        return model(images, training=False)

    traced(forward)
    return lambda images: forward(np.asarray(images, dtype=np.float32)).numpy()


def logits(forward: Callable[[Any], Any], images: Any, rows: Any, views: Sequence[str], batch_size: int = 128) -> Any:
    """Logits float32 (V, N, C) of ``images[rows]`` under each of ``views``; images may be memory-mapped."""
    blocks = []
    for start in range(0, len(rows), batch_size):
        batch = np.asarray(images[rows[start : start + batch_size]])
        blocks.append(np.stack([forward(view_table.apply(view, batch)) for view in views]))
    return np.concatenate(blocks, axis=1).astype(np.float32)


def mean_of_folds(stack: Any, several: bool = False) -> Any:
    """One set of logits from those of K fold models, (K, ...) to (...): the log of their mean probability.

    With ``several`` labels, the log of their mean odds.
    """
    if len(stack) == 1:
        return stack[0]
    # Less sharp than a mean of logits, and one definition for members with one fold and with ten.
    if several:
        yes, no = (sigmoid(sign * np.asarray(stack, dtype=np.float64)).mean(axis=0) for sign in (1, -1))
        return (np.log(np.maximum(yes, 1e-30)) - np.log(np.maximum(no, 1e-30))).astype(np.float32)
    mean = softmax(np.asarray(stack, dtype=np.float64)).mean(axis=0)
    return np.log(np.maximum(mean, 1e-30)).astype(np.float32)


class Pass(NamedTuple):
    """The features or the head of a network as a pure function.

    ``call(inputs, weights)`` gives the outputs of ``model``; ``positions`` are the places of its weights in those of
    the whole.
    """

    call: Callable[[Any, list[Any]], Any]
    positions: list[int]
    model: Any


def compiled(network: Network) -> tuple[Pass, Pass]:
    """The features and the head of a network, compiled."""
    position = {id(weight): number for number, weight in enumerate(network.model.weights)}
    return tuple(  # type: ignore[return-value]
        Pass(_compile(part), [position[id(weight)] for weight in part.weights], part)
        for part in (network.features, network.head)
    )


@dataclass(frozen=True, eq=False)
class Bound:
    """A pass with its weights, which are `tensors` so that they are not copied at every call."""

    part: Pass
    weights: list[Any]

    def __call__(self, inputs: Any) -> Any:
        return self.part.call(inputs, self.weights)


def split(description: Description) -> tuple[list[preprocess.Keys], Description]:
    """The steps before a network, and the description of the network without them."""
    rest = cast("Description", {**description})
    steps = rest.pop("preprocess", [])
    rest["size"] = preprocess.side_after(steps, rest["size"])
    return steps, rest


def preparation(steps: list[preprocess.Keys], size: int) -> Callable[[Any], Any]:
    """The steps as one compiled function of images (B, ``size``, ``size``, 3); they have no weights."""
    if not steps:
        return lambda images: images
    signature = [tf.TensorSpec((None, size, size, 3), tf.float32)]
    return traced(  # type: ignore[no-any-return]
        tf.function(lambda images: preprocess.apply(steps, images), input_signature=signature, autograph=False)
    )


def traced(function: Any) -> Any:
    """A function of TensorFlow with a signature, traced now.

    TensorFlow would warn of "retracing" where calls trace the functions of several networks, which share their code.
    """
    function.get_concrete_function()
    return function


def _compile(model: Any) -> Callable[[Any, list[Any]], Any]:
    signature = [
        tf.TensorSpec((None, *model.input_shape[1:]), tf.float32),
        [tf.TensorSpec(weight.shape, tf.float32) for weight in model.weights],
    ]
    position = {id(weight): number for number, weight in enumerate(model.weights)}
    trainable = [position[id(variable)] for variable in model.trainable_variables]
    fixed = model.non_trainable_variables
    others = [position.get(id(variable)) for variable in fixed]

    @tf.function(input_signature=signature, autograph=False)
    def call(inputs: Any, weights: list[Any]) -> Any:
        outputs, _ = model.stateless_call(
            [weights[place] for place in trainable],
            # Seed generators of dropout are variables too, and not among the weights: they stay as they are.
            [variable if place is None else weights[place] for variable, place in zip(fixed, others, strict=True)],
            inputs,
            training=False,
        )
        return outputs

    return traced(call)  # type: ignore[no-any-return]


def tensors(arrays: list[Any]) -> list[Any]:
    """Arrays as float32 tensors."""
    return [tf.constant(np.asarray(array, dtype=np.float32)) for array in arrays]
