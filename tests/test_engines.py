"""OpenVINO runs the same networks as TensorFlow, and is part of what its predictions are made from."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from kit.errors import ConfigError, TrainingError
from kit.runs.units import openvino as engine
from kit.runtime.backbones import build
from kit.runtime.forward import compile_forward, logits
from kit.runtime.pool import softmax

pytestmark = pytest.mark.tf


def network(**more: Any) -> Any:
    head = {"dropout": 0.2, "units": [8], "pooling": "avg"}
    return build({"backbone": "residual-cnn", "size": 16, "classes": 3, "head": head, **more}).model  # type: ignore[typeddict-item]


@pytest.mark.parametrize("more", [{}, {"preprocess": [{"op": "segmentation"}]}])
def test_the_probabilities_are_those_of_tensorflow_for_any_number_of_images(more: dict[str, Any]) -> None:
    pytest.importorskip("openvino", reason="pip install 'kit[openvino]'")
    model, images = network(**more), np.random.default_rng(1).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    both = [
        logits(compiled, images, np.arange(11), ("identity", "flip-lr"), batch_size=4)
        for compiled in (compile_forward(model), engine.compile_openvino(model))
    ]
    np.testing.assert_allclose(softmax(both[1]), softmax(both[0]), atol=1e-5)


def test_another_network_than_that_of_tensorflow_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino", reason="pip install 'kit[openvino]'")
    model = network()

    def convert(function: Any, original: Any = openvino.convert_model) -> Any:
        converted = original(function)
        model.weights[-1].assign(model.weights[-1] + 1)  # what was converted is no longer this network
        return converted

    monkeypatch.setattr(openvino, "convert_model", convert)
    with pytest.raises(TrainingError, match="other outputs"):
        engine.compile_openvino(model)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        engine.compile_openvino(None)
    assert caught.value.hint == "pip install 'kit[openvino]'"
