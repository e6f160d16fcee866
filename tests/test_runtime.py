"""What travels in the bundle: views, input checks, networks and their weights."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.config import StageConfig
from kit.errors import TrainingError
from kit.platforms.described import NetworkDescription
from kit.runtime import forward
from kit.runtime.backbones import BACKBONES, dropout_rates
from kit.runtime.pool import softmax
from kit.runtime.predictor import check_images
from kit.runtime.views import PLACES, RESIZED, TURNS, VIEWS, apply

pytestmark = pytest.mark.stage

INVERSE = {"rot90": "rot270", "rot270": "rot90"}


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_undone_by_its_inverse(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)
    assert (apply(INVERSE.get(name, name), apply(name, images)) == images).all()


def test_the_turns_are_eight_different_ones() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3), dtype=np.uint8)
    assert len({apply(name, image).tobytes() for name in TURNS}) == 8


def test_the_lit_views_stay_in_the_range_and_brighten_as_they_say() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    brighter, darker = apply("brighter", images), apply("darker", images)
    assert min(darker.min(), brighter.min()) >= 0
    assert max(darker.max(), brighter.max()) <= 255
    assert (darker <= images).all() and (images <= brighter).all() and darker.mean() < images.mean() < brighter.mean()


def channels(images: Any) -> Any:
    """(N * 3, H, W)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(-1, *images.shape[1:3])


PARTS = {"crop-top-left": "crop-top-right", "crop-bottom-left": "crop-bottom-right"}


@pytest.mark.tf
@pytest.mark.parametrize("side", [16, 21, 96])
def test_crops_and_zooms_are_what_pillow_makes_of_the_same_part(side: int) -> None:
    images = np.random.default_rng(side).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    crop, zoom, frame = side - round(side / 8), side - round(side / 4), round(side / 6)
    left, middle, inner = side - crop, (side - crop) // 2, (side - zoom) // 2
    corners = {"top-left": (0, 0), "top-right": (left, 0), "bottom-left": (0, left), "bottom-right": (left, left)}
    parts = {f"crop-{name}": (images, *corner, crop) for name, corner in corners.items()}
    if not left % 2:  # else the middle is between two pixels
        parts["crop-centre"] = (images, middle, middle, crop)
    if not (side - zoom) % 2:
        parts["larger"] = (images, inner, inner, zoom)
    padded = np.pad(images, ((0, 0), (frame, frame), (frame, frame), (0, 0)), "symmetric")
    parts["smaller"] = (padded, 0, 0, side + 2 * frame)
    for name, (of, x, y, kept) in parts.items():
        cut = of[:, y : y + kept, x : x + kept].astype(np.float32)
        planes = [Image.fromarray(plane).resize((side, side), Image.Resampling.BILINEAR) for plane in channels(cut)]
        expected = np.array([np.asarray(plane) for plane in planes]).reshape(2, 3, side, side).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(apply(name, images), expected, atol=0.02, err_msg=name)
        for kind in (np.uint64, np.float64):
            np.testing.assert_array_equal(apply(name, images.astype(kind)), apply(name, images))
    for name, other in PARTS.items():
        mirrored = apply("flip-lr", apply(other, apply("flip-lr", images)))
        np.testing.assert_allclose(apply(name, images), mirrored, atol=0.02)


def test_every_view_turns_lights_or_shows_another_part() -> None:
    parts = {f"crop-{place}" for place in PLACES} | {"larger", "smaller"}
    assert set(VIEWS) == {*TURNS, *parts, "brighter", "darker"}
    assert len(parts) == 7


def test_the_views_that_load_tensorflow_are_those_that_are_said_to_resize(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.zeros((1, 8, 8, 3), np.uint8)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for name in VIEWS:
        loads = pytest.raises(ImportError) if name in RESIZED else nullcontext()
        with loads:
            apply(name, images)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1000))
def test_the_mean_of_folds_is_the_log_of_the_mean_probability(folds: int, rows: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (folds, rows, 4))
    expected = softmax(logits).mean(axis=0)
    assert np.allclose(softmax(forward.mean_of_folds(logits).astype(np.float64)), expected, atol=1e-6)


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


def test_arrays_are_predicted_without_pillow() -> None:
    code = "import sys; sys.modules['PIL'] = None; import kit.runtime.contracts, kit.runtime.predictor"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("value", [0, 1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_whole_numbers_are_images_in_any_type(value: int, dtype: type) -> None:
    assert check_images(np.full((1, 8, 8, 3), value, dtype), 8).shape == (1, 8, 8, 3)


def describe(name: str, size: int = 0, **head: Any) -> dict[str, Any]:
    head = {"dropout": 0.1, "units": [8]} | head
    return {"backbone": name, "size": size or BACKBONES[name].smallest, "classes": 5, "head": head}


# Built in a second or two even on a slow machine; the other pretrained networks are in the slow tier.
LIGHT = ("mobilenet", "mobilenetv2", "mobilenetv3-small", "vgg16")
PRETRAINED = [name for name, entry in BACKBONES.items() if entry.pretrained]
BY_WEIGHT = [
    pytest.param(name, marks=[pytest.mark.slow] if name in PRETRAINED and name not in LIGHT else [])
    for name in BACKBONES
]


def stage(train: str, **keys: Any) -> StageConfig:
    return StageConfig(train=train, epochs=1, **keys)  # type: ignore[arg-type]


@pytest.mark.tf
@pytest.mark.parametrize("name", BY_WEIGHT)
def test_a_backbone_fulfils_its_contract(name: str, tmp_path: Path) -> None:
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.stages.train.networks import set_trainable

    network = build(describe(name))
    size = BACKBONES[name].smallest
    held = sum(int(np.prod(weight.shape)) for weight in network.model.weights)
    assert held <= NetworkDescription.model_validate(describe(name)).parameters <= 1.4 * held
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    run = forward.compile_forward(network.model)
    logits = forward.logits(run, images, np.arange(3), ["identity", "flip-lr"], batch_size=2)
    assert logits.shape == (2, 3, 5)
    assert logits.dtype == np.float32
    # In the same batches: weights of no meaning make much of how a sum was rounded.
    assert np.allclose(logits[1], np.concatenate([run(images[:2, :, ::-1]), run(images[2:, :, ::-1])]), atol=1e-4)

    set_trainable(network, stage("head"), name, pretrained=True)
    assert {id(v) for v in network.model.trainable_variables} == {id(v) for v in network.head.trainable_variables}
    set_trainable(network, stage("last-block"), name, pretrained=True)
    some = len(network.model.trainable_variables)
    set_trainable(network, stage("all"), name, pretrained=False)
    assert len(network.head.trainable_variables) < some < len(network.model.trainable_variables)

    np.savez(tmp_path / "w.npz", **arrays.of(network.model))
    other = build(describe(name))
    arrays.assign(other.model, str(tmp_path / "w.npz"))
    assert np.array_equal(forward.compile_forward(other.model)(images), run(images))


@pytest.mark.tf
@pytest.mark.parametrize("name", [name for name in PRETRAINED if BACKBONES[name].contract != "scaled"])
def test_the_input_contract_is_the_one_of_keras(name: str) -> None:
    import keras

    from kit.runtime.backbones import CONTRACTS, resolve

    module = resolve(BACKBONES[name].builder).__module__.rsplit(".", 1)[1]
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
    if module == "resnet":  # `keras.src.applications.resnet` serves 50 and 101
        module = "resnet50"
    expected = getattr(keras.applications, module).preprocess_input(images.copy())
    assert np.allclose(CONTRACTS[BACKBONES[name].contract](images), expected, atol=1e-4)


@pytest.mark.tf
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_efficientnet_with_published_weights_sees_what_keras_makes_it_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from kit.runtime.backbones import DEVIATION, MEAN, build, reset_input_scale

    module = sys.modules[keras.applications.EfficientNetB0.__module__]
    published = keras.applications.EfficientNetB0(input_shape=(32, 32, 3), include_top=False, weights=None)
    scale = next(layer for layer in published.layers if type(layer).__name__ == "Normalization")
    scale.set_weights([MEAN, DEVIATION, np.zeros((), np.int64)])
    published.save_weights(tmp_path / "b0.weights.h5")
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: str(tmp_path / "b0.weights.h5"))
    theirs = keras.applications.EfficientNetB0(input_shape=(32, 32, 3), include_top=False, weights="imagenet")
    network = build(describe("efficientnet-b0"))
    network.backbone.load_weights(tmp_path / "b0.weights.h5")
    reset_input_scale(network.backbone)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(theirs(images)).mean(axis=(1, 2))
    assert np.allclose(network.features(images), expected, atol=1e-4)


@pytest.mark.tf
@pytest.mark.parametrize("pooling", ["avg", "max", "flatten"])
def test_a_head_pools_as_it_says(pooling: str) -> None:
    from kit.runtime.backbones import build

    network = build(describe("plain-cnn", 32, pooling=pooling))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    found = np.asarray(network.backbone(images / 255.0))
    assert found.shape == (2, 2, 2, 128)
    expected = {"avg": found.mean(axis=(1, 2)), "max": found.max(axis=(1, 2)), "flatten": found.reshape(2, -1)}
    assert np.allclose(network.features(images), expected[pooling], atol=1e-5)


@pytest.mark.tf
def test_the_layers_of_a_head_stand_in_the_order_of_the_field() -> None:
    from kit.runtime.backbones import build_head

    names = [
        layer.name for layer in build_head(16, 3, units=[8, 4], batch_norm=["units"], dropout=[0, 0.5, 0.5]).layers
    ]
    assert names[1:] == [
        "head_dense_0", "head_bn_0", "head_relu_0", "head_dropout_0",
        "head_dense_1", "head_bn_1", "head_relu_1", "head_dropout_1", "logits",
    ]  # fmt: skip
    penalised = build_head(16, 3, units=[8], l1=0.1, l2=0.2)
    (kernel,) = (layer.kernel for layer in penalised.layers if layer.name == "head_dense_0")
    values = np.asarray(kernel)
    assert np.allclose(sum(penalised.losses), 0.1 * np.abs(values).sum() + 0.2 * (values**2).sum(), rtol=1e-5)


def test_a_head_with_another_number_of_dropouts_is_refused() -> None:
    with pytest.raises(ValueError, match="2 rates, the features and 2 dense layers need 3"):
        dropout_rates([0.1, 0.2], 2)


@pytest.mark.tf
def test_layers_of_given_kinds_from_a_number_on_learn() -> None:
    from kit.runtime.backbones import build
    from kit.stages.train.networks import set_trainable

    network = build(describe("mobilenetv2"))
    picked = stage("layers", from_layer=100, kinds=("conv", "depthwise"))
    set_trainable(network, picked, "mobilenetv2", pretrained=True)
    layers = network.backbone.layers
    learning = [layer for layer in layers if layer.trainable_variables]
    expected = [layer for layer in layers[100:] if type(layer).__name__ in ("Conv2D", "DepthwiseConv2D")]
    assert learning == expected
    with pytest.raises(TrainingError, match="no layer of mobilenetv2 is trainable: it has 154 layers"):
        set_trainable(network, stage("layers", from_layer=500), "mobilenetv2", pretrained=True)


@pytest.mark.tf
@pytest.mark.parametrize(("batch_norm", "moves"), [("frozen", False), ("trained", True)])
def test_batchnorm_of_a_pretrained_backbone_moves_only_where_the_stage_says_so(batch_norm: str, moves: bool) -> None:
    from kit.runtime.backbones import build
    from kit.stages.train.networks import set_trainable

    network = build(describe("mobilenetv2"))
    set_trainable(network, stage("all", batch_norm=batch_norm), "mobilenetv2", pretrained=True)
    layer = network.backbone.get_layer("bn_Conv1")
    before = np.asarray(layer.moving_mean)
    network.model(np.full((4, 32, 32, 3), 200, np.float32), training=True)
    assert np.array_equal(before, layer.moving_mean) is not moves
    assert bool(layer.trainable_variables) is moves


@pytest.mark.tf
def test_networks_are_traced_once_when_they_are_compiled_so_that_several_do_not_look_like_one_traced_again() -> None:
    from kit.runtime.backbones import build

    network = build({"backbone": "two-conv-cnn", "options": {}, "head": {}, "size": 12, "classes": 2})
    steps = forward.preparation([{"op": "resize", "size": 12}], 16)
    parts = forward.compiled(network)
    calls: list[Any] = [steps, *(part.call for part in parts)]
    assert [call.experimental_get_tracing_count() for call in calls] == [1, 1, 1]
    for rows in (1, 3):
        found = steps(np.zeros((rows, 16, 16, 3), np.float32))
        for part in parts:
            found = part.call(found, [weight.value for weight in part.model.weights])
        assert found.shape == (rows, 2)
    assert [call.experimental_get_tracing_count() for call in calls] == [1, 1, 1]


@pytest.mark.tf
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from kit.runtime import arrays
    from kit.runtime.backbones import build

    np.savez(tmp_path / "w.npz", **arrays.of(build(describe("residual-cnn")).model))
    with pytest.raises(ValueError, match="do not fit"):
        arrays.assign(build(describe("plain-cnn")).model, str(tmp_path / "w.npz"))
