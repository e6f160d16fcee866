"""Half the bits for the steps, float32 for everything that is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import in_this_process
from recorded import spec_of

from kit.config import StageConfig
from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.store.predictions import load_predictions

# Keras with NumPy 2 says so of its own conversion of variables.
pytestmark = [pytest.mark.tf, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

HALVES = ("mixed_float16", "mixed_bfloat16")


def learner(precision: str, backbone: str = "two-conv-cnn", **keys: Any) -> tuple[Any, Any]:
    """A network that computes in ``precision`` and what its steps are done with."""
    import keras

    from kit.runtime.backbones import build
    from kit.stages.train.networks import computing_in, cross_entropy, make_optimizer, set_trainable
    from kit.stages.train.trainer import NetworkLearner

    stage = StageConfig(train="all", epochs=1, **keys)
    keras.utils.set_random_seed(0)
    with computing_in(precision):
        network = build(
            {
                "backbone": backbone,
                "size": 16,
                "classes": 3,
                "head": {"units": [8], "batch_norm": ["features"]},
                "preprocess": [{"op": "clahe", "tiles": 2}],
            }
        )
    set_trainable(network, stage, backbone, pretrained=False)
    optimizer = make_optimizer(stage, network.model.trainable_variables, precision)
    return network, NetworkLearner(
        network.model, network.model, optimizer, cross_entropy, lambda: np.zeros((1, 3), "f"), 3
    )


def trained(network: Any) -> list[Any]:
    """What learns, as arrays of their own."""
    return [np.array(variable.numpy()) for variable in network.model.trainable_variables]


def same(first: list[Any], second: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def batch(weight: float = 1.0) -> tuple[Any, Any]:
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.float32)
    return images, np.eye(3, dtype=np.float32)[np.arange(12) % 3] * np.float32(weight)


@pytest.mark.parametrize("precision", HALVES)
def test_layers_compute_in_half_the_bits_and_weights_and_logits_keep_all(precision: str) -> None:
    network, _ = learner(precision)
    half = precision.removeprefix("mixed_")
    assert {layer.compute_dtype for layer in network.backbone.layers} == {half}
    assert {weight.dtype for weight in network.model.weights} == {"float32"}
    images, _ = batch()
    assert np.asarray(network.model(images)).dtype == np.float32
    whole, _ = learner("float32")
    assert {layer.compute_dtype for layer in whole.backbone.layers} == {"float32"}
    found, expected = (np.asarray(model(images)) for model in (network.model, whole.model))
    assert np.allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("precision", HALVES)
def test_steps_learn_what_those_in_float32_learn(precision: str) -> None:
    images, labels = batch()
    losses = {}
    for name in ("float32", precision):
        _, steps = learner(name, clip_norm=1.0, ema=0.9)
        losses[name] = [float(steps.step(images, labels, 1e-3)) for _ in range(12)]
    assert losses[precision][-1] < 0.6 * losses[precision][0]
    assert losses[precision][0] == pytest.approx(losses["float32"][0], rel=0.05)


def test_a_step_whose_scaled_gradients_overflow_is_left_out() -> None:
    network, steps = learner("mixed_float16")
    before = trained(network)
    images, labels = batch(weight=1e6)
    steps.step(images, labels, 1e-3)
    assert same(before, trained(network))
    for _ in range(6):  # the scale may have to fall further
        steps.step(*batch(), 1e-3)
    assert not same(before, trained(network))


def test_the_scale_of_the_loss_is_part_of_the_state() -> None:
    _, steps = learner("mixed_float16")
    _, other = learner("mixed_float16")
    steps.step(*batch(weight=1e6), 1e-3)
    state, fresh = steps.state(), other.state()
    scales = [key for key in state if state[key].shape == () and state[key] == fresh[key] / 2 > 1]
    assert len(scales) == 1
    other.restore(state)
    again = other.state()
    assert all(np.array_equal(again[key], state[key]) for key in state)


def test_a_kernel_that_is_missing_is_an_error_with_a_hint() -> None:
    import tensorflow as tf

    from kit.stages.train.networks import precision_errors

    spec = specification("mixed_float16")
    said = pytest.raises(TrainingError, match=r"plain-cnn cannot compute in mixed_float16 here: no kernel$")
    with said as caught, precision_errors(spec):
        raise tf.errors.UnimplementedError(None, None, "no kernel\nfor this")
    assert caught.value.hint == '[runs.a] precision = "float32"'
    with pytest.raises(tf.errors.UnimplementedError), precision_errors(specification("float32")):
        raise tf.errors.UnimplementedError(None, None, "no kernel")


def specification(precision: str) -> FoldSpec:
    return spec_of({"backbone": "plain-cnn", "precision": precision})


CONFIG = """
[data]
train = "digits"
image_size = 16
[folds]
n = 2
[runs.a]
backbone = "two-conv-cnn"
precision = "mixed_bfloat16"
stages = [{ train = "all", epochs = 1, ema = 0.9, early_stopping = 3 }]
"""


def test_what_a_run_in_half_precision_predicts_is_what_its_weights_predict_in_float32(
    make_project: Callable[..., Path],
) -> None:
    from kit.project import Project
    from kit.runtime import arrays, forward
    from kit.runtime.backbones import build
    from kit.store.data import load_images, load_index

    folder = make_project(CONFIG)
    with in_this_process():
        Project(folder).train(fold=0)
    (path,) = folder.glob("runs/a-*/fold-0/spec.json")
    spec = FoldSpec.load(path)
    assert "precision" not in spec.network
    network = build(spec.network)
    arrays.assign(network.model, str(spec.paths.weights))
    probe = load_predictions(spec.paths.probe)
    rows = load_index(spec.layout).rows_of(probe.ids)
    found = forward.logits(forward.compile_forward(network.model), load_images(spec.layout), rows, probe.views)
    assert np.allclose(found, probe.logits, atol=1e-5)


def test_the_moving_average_is_what_is_kept_in_float16_too() -> None:
    network, steps = learner("mixed_float16", ema=0.9)
    for _ in range(8):
        steps.step(*batch(), 1e-2)
    before, weights = trained(network), steps.kept()
    kept = [weights[f"{n:04d}"] for n, weight in enumerate(network.model.weights) if weight.trainable]
    assert not same(before, kept)
    assert same(before, trained(network))
