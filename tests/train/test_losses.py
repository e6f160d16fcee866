"""Losses are right for soft, weighted and mixed labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.base.tasks import ONE_CLASS
from kit.config import RunConfig
from kit.runs.batches import soft_labels
from kit.stages.train.loop import FoldData, weighted_labels

pytestmark = pytest.mark.tf


def draws(seed: int = 0, n: int = 6, classes: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n), rng.normal(0, 2, (n, classes)).astype(np.float32)


def losses() -> dict[str, Any]:
    from kit.stages.train.networks import cross_entropy, focal

    return {"crossentropy": cross_entropy, "focal": focal(2.0)}


def test_they_are_those_of_keras() -> None:
    import keras

    y, logits = draws()
    one_hot = np.eye(4, dtype=np.float32)[y]
    smooth = soft_labels(one_hot, 4, 0.1)
    found = losses()
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)(one_hot, logits)
    assert float(found["crossentropy"](smooth, logits)) == pytest.approx(float(expected), rel=1e-5)
    focal = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True)(one_hot, logits)
    assert float(found["focal"](one_hot, logits)) == pytest.approx(float(focal), rel=1e-4)


def test_focal_without_focus_is_cross_entropy() -> None:
    from kit.stages.train.networks import cross_entropy, focal

    y, logits = draws()
    labels = soft_labels(np.eye(4, dtype=np.float32)[y], 4, 0.2)
    assert float(focal(0.0)(labels, logits)) == pytest.approx(float(cross_entropy(labels, logits)), rel=1e-6)


@pytest.mark.parametrize("name", ["crossentropy", "focal"])
def test_a_mixed_label_loses_the_mix_of_what_its_parts_lose(name: str) -> None:
    loss = losses()[name]
    _, logits = draws(n=1)
    weights = np.array([5, 0.2, 1, 1], np.float32)
    first, second = (np.eye(4, dtype=np.float32)[[label]] * weights for label in (0, 1))
    mixed = float(loss(0.4 * first + 0.6 * second, logits))
    assert mixed == pytest.approx(0.4 * float(loss(first, logits)) + 0.6 * float(loss(second, logits)), rel=1e-5)


@pytest.mark.parametrize("name", ["crossentropy", "focal"])
def test_gradients_follow_the_weights(name: str) -> None:
    import tensorflow as tf

    y, logits = draws()
    labels = np.eye(4, dtype=np.float32)[y]

    def gradient(weights: Any) -> Any:
        values = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = losses()[name](labels * np.asarray(weights, np.float32)[:, None], values)
        return np.asarray(tape.gradient(loss, values))

    plain = gradient([1] * 6)
    assert np.allclose(gradient([3, 1, 0, 1, 1, 1]), plain * np.array([3, 1, 0, 1, 1, 1])[:, None], atol=1e-6)


def weighted_gradient(name: str, rows: Any, weights: Any) -> Any:
    """Gradient of the summed loss with respect to a linear network, rows weighted as a fold weights them."""
    import tensorflow as tf

    y, inputs = draws(3, 8)
    config = RunConfig(backbone="plain-cnn", label_smoothing=0.1)
    every, none, names = np.arange(len(rows)), np.arange(0), ("a", "b", "c", "d")
    data = FoldData(y[rows], y[rows], ONE_CLASS, every, none, none, names, np.asarray(weights, np.float32))
    labels = weighted_labels(config, data)
    kernel = tf.constant(np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = losses()[name](labels, tf.constant(inputs[rows]) @ kernel) * len(rows)
    return np.asarray(tape.gradient(loss, kernel))


@pytest.mark.parametrize("name", ["crossentropy", "focal"])
@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(any))
def test_a_row_of_weight_two_is_the_row_twice_and_one_of_weight_nought_is_absent(name: str, weights: list[int]) -> None:
    repeated = np.repeat(np.arange(8), weights)
    found = weighted_gradient(name, np.arange(8), weights)
    assert np.allclose(found, weighted_gradient(name, repeated, np.ones(len(repeated))), atol=1e-4)
