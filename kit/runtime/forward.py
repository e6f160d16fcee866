"""Logits of many images in bounded memory: batches through one compiled forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import views as view_table
from .lazy import tf
from .pool import sigmoid, softmax


def compile_forward(model: Any) -> Callable[[Any], Any]:
    """A compiled function from images (B, S, S, 3), 0 to 255, to the outputs of ``model``, any B, no retracing."""
    shape = (None, *model.input_shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    def forward(images: Any) -> Any:
        return model(images, training=False)

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
