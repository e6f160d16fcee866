"""What travels in the bundle: views, input checks, networks and their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.runtime import forward
from kit.runtime.backbones import BACKBONES
from kit.runtime.predictor import check_images
from kit.runtime.views import VIEWS, apply

INVERSE = {"rot90": "rot270", "rot270": "rot90"}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_undone_by_its_inverse(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    assert (apply(INVERSE.get(name, name), apply(name, images)) == images).all()


def test_the_views_are_eight_different_ones() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
    assert len({apply(name, image).tobytes() for name in VIEWS}) == 8


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_the_mean_of_folds_is_the_log_of_the_mean_probability(folds: int, rows: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (folds, rows, 4))
    expected = forward.softmax(logits).mean(axis=0)
    assert np.allclose(forward.softmax(forward.mean_of_folds(logits).astype(np.float64)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 8, 8)), r"expected images of shape \(N, 8, 8, 3\), got \(2, 8, 8\)"),
        (np.zeros((2, 9, 8, 3)), r"got \(2, 9, 8, 3\)"),
        (np.full((1, 8, 8, 3), np.nan), "NaN"),
        (np.full((1, 8, 8, 3), 0.5), "look scaled"),
        (np.full((1, 8, 8, 3), "a"), "dtype"),
    ],
)
def test_images_that_cannot_be_meant_are_refused(images: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_images(images, 8)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_whole_numbers_are_images_in_any_type(value: int, dtype: type) -> None:
    assert check_images(np.full((1, 8, 8, 3), value, dtype), 8).shape == (1, 8, 8, 3)


def describe(name: str, size: int = 0) -> dict[str, Any]:
    head = {"dropout": 0.1, "units": [8]}
    return {"backbone": name, "size": size or BACKBONES[name].smallest, "classes": 5, "head": head}


@pytest.mark.tf
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_fulfils_its_contract(name: str, tmp_path: Path) -> None:
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.train.networks import set_trainable

    network = build(describe(name))
    size = BACKBONES[name].smallest
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    run = forward.compile_forward(network.model)
    logits = forward.logits(run, images, np.arange(3), ["identity", "flip-lr"], batch_size=2)
    assert logits.shape == (2, 3, 5)
    assert logits.dtype == np.float32
    assert np.allclose(logits[1], run(images[:, :, ::-1]), atol=1e-4)

    set_trainable(network, "head", name, pretrained=True)
    assert {id(v) for v in network.model.trainable_variables} == {id(v) for v in network.head.trainable_variables}
    set_trainable(network, "last-block", name, pretrained=True)
    some = len(network.model.trainable_variables)
    set_trainable(network, "all", name, pretrained=False)
    assert len(network.head.trainable_variables) < some < len(network.model.trainable_variables)

    np.savez(tmp_path / "w.npz", **arrays.of(network.model))
    other = build(describe(name))
    arrays.assign(other.model, str(tmp_path / "w.npz"))
    assert np.array_equal(forward.compile_forward(other.model)(images), run(images))


@pytest.mark.tf
@pytest.mark.parametrize(
    ("name", "module"),
    [("mobilenet", "mobilenet"), ("mobilenetv2", "mobilenet_v2"), ("efficientnetv2-b0", "efficientnet_v2")],
)
def test_the_input_contract_is_the_one_of_keras(name: str, module: str) -> None:
    import keras

    from kit.runtime.backbones import CONTRACTS

    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
    expected = getattr(keras.applications, module).preprocess_input(images.copy())
    assert np.allclose(CONTRACTS[BACKBONES[name].contract](images), expected, atol=1e-6)


@pytest.mark.tf
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    np.savez(tmp_path / "w.npz", **arrays.of(build(describe("residual-cnn")).model))
    with pytest.raises(ValueError, match="do not fit"):
        arrays.assign(build(describe("plain-cnn")).model, str(tmp_path / "w.npz"))
