"""The networks of the field's speed runs: fixed filters, BatchNorm in one operation, and steps that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kit.runtime.scratch import patch_filters

pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


def correlations(answers: np.ndarray) -> np.ndarray:
    """The absolute correlations of different columns of (n, F)."""
    found = np.abs(np.corrcoef(answers, rowvar=False))
    return found[~np.eye(len(found), dtype=bool)]


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_the_fixed_filters_decorrelate_the_patches_of_photographs(name: str) -> None:
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image(name)[::3, ::3] / 255.0
    patches = np.lib.stride_tricks.sliding_window_view(photograph, (2, 2), (0, 1)).transpose(0, 1, 3, 4, 2)
    pixels = patches.reshape(-1, 12)
    answers = pixels @ patch_filters().reshape(12, 12)
    assert np.linalg.matrix_rank(patch_filters().reshape(12, 12)) == 12
    assert correlations(pixels).mean() > 0.6
    assert correlations(answers).mean() < 0.15
    deviations = answers.std(axis=0)
    assert deviations.max() < 8 * deviations.min() < 8 * pixels.std() * 8


@pytest.mark.parametrize("trainable", [True, False])
def test_batch_norm_in_one_operation_is_that_of_keras(trainable: bool) -> None:
    import keras
    import tensorflow as tf

    from kit.runtime.scratch import _fused

    rng = np.random.default_rng(0)
    images = rng.normal(2.0, 3.0, (16, 6, 6, 4)).astype(np.float32)
    weights = [rng.uniform(0.5, 1.5, 4).astype(np.float32) for _ in range(4)]
    found: list[list[Any]] = []
    for made in (_fused(), keras.layers.BatchNormalization):
        layer = made(momentum=0.9, trainable=trainable)
        layer.build(images.shape)
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            inputs = tf.Variable(images)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, *[v.value for v in layer.trainable_variables]])
        found.append([outputs, *gradients, *layer.get_weights(), layer(images, training=False)])
    assert len(found[0]) == len(found[1])
    n = 16 * 6 * 6
    for one, other in zip(*found, strict=True):  # the variance that is kept is that of a sample, with n - 1
        assert np.allclose(one, other, rtol=1.5 / n, atol=5e-3)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_steps_of_the_small_network_repeat_to_the_byte_and_learn(precision: str) -> None:
    import keras

    from kit.config import StageConfig
    from kit.runtime.backbones import build
    from kit.stages.train.networks import computing_in, cross_entropy, make_optimizer, set_trainable
    from kit.stages.train.trainer import NetworkLearner

    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.float32)[np.arange(24) % 3]
    images = (rng.integers(0, 100, (24, 16, 16, 3)) + 70 * (np.arange(24) % 3)[:, None, None, None]).astype(np.float32)
    stage = StageConfig(train="all", epochs=1, optimizer="sgd", weight_decay=5e-3, ema=0.9)
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        with computing_in(precision):
            network = build({"backbone": "resnet-small", "size": 16, "classes": 3, "head": {"dropout": 0.2}})
        set_trainable(network, stage, "resnet-small", pretrained=False)
        optimizer = make_optimizer(stage, network.model.trainable_variables, precision)
        learner = NetworkLearner(network.model, network.model, optimizer, cross_entropy, lambda rows: np.zeros(0), 3)
        learner.begin_epoch(1)
        losses = [float(learner.step(images, labels, 0.05)) for _ in range(8)]
        found.append((losses, learner.state()))
    assert found[0][0] == found[1][0]
    assert all(np.array_equal(found[1][1][key], value) for key, value in found[0][1].items())
    assert found[0][0][-1] < 0.5 * found[0][0][0]
