"""Augmentations are pure functions of images and seeds."""

from __future__ import annotations

import sys
from cProfile import Profile
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy.stats import ks_2samp

from kit.config import AugmentConfig
from kit.errors import ConfigError
from kit.images.augment import OPS, check

pytestmark = pytest.mark.stage

# Keys of the entries that need some, and strong ones where the default may leave a small image as it is.
KEYS: dict[str, dict[str, Any]] = {
    "sequence": {"ops": [{"op": "flip"}, {"op": "noise"}]},
    "maybe": {"ops": [{"op": "noise"}], "rate": 0.5},
    "one-of": {"ops": [{"op": "noise"}, {"op": "contrast"}, {"op": "cutmix"}]},
    "some-of": {"ops": [{"op": "brightness"}, {"op": "zoom"}, {"op": "noise"}], "k": 2},
}
OWN = {
    "flip",
    "quarter-turn",
    "dihedral",
    "crop",
    "random-resized-crop",
    "noise",
    "stain",
    "gradient",
    "sequence",
    "maybe",
    "one-of",
    "some-of",
}
# Not random in themselves.
FIXED = {"posterize"}


def entry(op: str, **keys: Any) -> AugmentConfig:
    return AugmentConfig(op=op, **{**KEYS.get(op, {}), **keys})


def batch(n: int = 8, size: int = 32) -> tuple[Any, Any]:
    images = np.random.default_rng(1).integers(0, 256, (n, size, size, 3)).astype(np.float32)
    return images, np.eye(4, dtype=np.float32)[np.arange(n) % 4]


def seeds(number: int, n: int = 8) -> Any:
    return np.random.default_rng(number).integers(0, 2**31 - 1, (n, 2)).astype(np.int32)


@pytest.mark.parametrize("op", OPS)
def test_the_defaults_of_an_entry_are_valid(op: str) -> None:
    check([entry(op)])


def test_values_that_cannot_be_and_missing_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="'zoom': `factor` = 3"):
        check([AugmentConfig(op="zoom", factor=3)])
    with pytest.raises(ConfigError, match=r"'random-resized-crop': `scale` = .*the first number is larger"):
        check([AugmentConfig(op="random-resized-crop", scale=[0.8, 0.4])])
    with pytest.raises(ConfigError, match="'one-of': `ops` is missing"):
        check([AugmentConfig(op="one-of")])
    with pytest.raises(ConfigError, match="'blur': unknown key `sigmaa`"):
        check([AugmentConfig(op="maybe", ops=[{"op": "blur", "sigmaa": 1}])])


def test_unknown_operations_and_keys_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        check([AugmentConfig(op="mixupp")])
    assert caught.value.hint == "did you mean `mixup`?"
    with pytest.raises(ConfigError) as caught:
        check([AugmentConfig(op="randaugment", magnitud=1)])
    assert caught.value.hint == "did you mean `magnitude`?"


@cache
def first_use(op: str) -> tuple[Any, set[str]]:
    """A pipeline that has been used once, which is when its graph is made, and what of keras-cv that has called."""
    from kit.images.augment.pipeline import Pipeline

    pipeline = Pipeline([entry(op)], 32, 4)
    images, labels = batch()
    with Profile() as profile:
        pipeline(images, labels, seeds(0))
    codes = [line.code for line in profile.getstats() if not isinstance(line.code, str)]
    return pipeline, {code.co_name for code in codes if "keras_cv/src/layers/preprocessing" in code.co_filename}


@pytest.mark.tf
@pytest.mark.parametrize("op", OPS)
def test_the_same_seeds_give_the_same_bytes_and_other_seeds_others(op: str) -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels = batch()
    pipeline, again = first_use(op)[0], Pipeline([entry(op)], 32, 4)
    first = pipeline(images, labels, seeds(0))
    pipeline(images, labels, seeds(5))
    for other in (pipeline(images, labels, seeds(0)), again(images, labels, seeds(0))):
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert np.array_equal(first[0], pipeline(images, labels, seeds(1))[0]) is (op in FIXED)
    assert not np.array_equal(first[0], images)
    found, soft = (np.asarray(value) for value in first)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.allclose(soft.sum(axis=1), 1)


@pytest.mark.tf
@pytest.mark.parametrize("op", [op for op in OPS if op not in ("cutmix", "mixup", "one-of")])
def test_an_image_is_augmented_alike_in_any_batch(op: str) -> None:
    images, labels = batch()
    pipeline, _ = first_use(op)
    whole, _ = pipeline(images, labels, seeds(0))
    part, _ = pipeline(images[2:5], labels[2:5], seeds(0)[2:5])
    assert np.allclose(np.asarray(whole)[2:5], part, atol=1e-3)


@pytest.mark.tf
def test_several_threads_augment_to_the_same_bytes() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from kit.images.augment.pipeline import Pipeline

    images, labels = batch()
    pipeline = Pipeline([entry("dihedral"), entry("rotation"), entry("cutmix")], 32, 4)
    alone = [pipeline(images, labels, seeds(number)) for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda number: pipeline(images, labels, seeds(number)), range(6)))
    for expected, found in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.tf
def test_the_dihedral_group_is_drawn_evenly() -> None:
    from kit.images.augment.pipeline import Pipeline
    from kit.runtime.views import TURNS, apply

    one, _ = batch(1, 4)
    images, labels = np.repeat(one, 400, axis=0), np.zeros((400, 4), np.float32)
    for op, views in (("dihedral", list(TURNS)), ("quarter-turn", ["identity", "rot90", "rot180", "rot270"])):
        found = np.asarray(Pipeline([entry(op)], 4, 4)(images, labels, seeds(3, 400))[0])
        counts = [int((found == apply(view, one)).all(axis=(1, 2, 3)).sum()) for view in views]
        assert sum(counts) == 400
        assert min(counts) > 400 / len(views) * 0.6


@pytest.mark.tf
def test_crops_are_all_the_shifts_of_a_reflected_image_drawn_evenly() -> None:
    from kit.images.augment.pipeline import Pipeline

    one, _ = batch(1, 5)
    images, labels = np.repeat(one, 500, axis=0), np.zeros((500, 4), np.float32)
    found = np.asarray(Pipeline([entry("crop", pixels=1)], 5, 4)(images, labels, seeds(3, 500))[0])
    padded = np.pad(one[0], ((1, 1), (1, 1), (0, 0)), mode="reflect")
    shifts = [padded[down : down + 5, right : right + 5] for down in range(3) for right in range(3)]
    counts = [int((found == shift).all(axis=(1, 2, 3)).sum()) for shift in shifts]
    assert sum(counts) == 500
    assert min(counts) > 500 / 9 * 0.6


def boxes(n: int, side: int = 32, **keys: Any) -> Any:
    """(n, 4) left, top, width and height of random resized crops, in sides, read from pictures of places."""
    from kit.images.augment.pipeline import Pipeline

    places = np.arange(side, dtype=np.float32) + 0.5
    picture = np.stack([*np.meshgrid(places, places), np.zeros((side, side), np.float32)], axis=-1)
    images, labels = np.repeat(picture[None], n, axis=0), np.zeros((n, 4), np.float32)
    found = np.asarray(Pipeline([entry("random-resized-crop", **keys)], side, 4)(images, labels, seeds(3, n))[0])
    first, last = found[:, 8, 8, :2], found[:, -8, -8, :2]  # at the border cubic interpolation is not linear
    share = (last - first) / (side - 16)
    return np.concatenate([first / side - 8.5 / side * share, share], axis=1)


def torchvision_box(rng: np.random.Generator, scale: Any, ratio: Any) -> list[float]:
    """`torchvision.transforms.RandomResizedCrop.get_params` of a square, without rounding to pixels."""
    for _ in range(10):
        area = rng.uniform(*scale)
        aspect = np.exp(rng.uniform(*np.log(ratio)))
        width, height = (area * aspect) ** 0.5, (area / aspect) ** 0.5
        if width <= 1 and height <= 1:
            return [rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height]
    aspect = min(max(1.0, ratio[0]), ratio[1])
    width, height = min(1.0, aspect), min(1.0, 1 / aspect)
    return [(1 - width) / 2, (1 - height) / 2, width, height]


@pytest.mark.tf
@pytest.mark.parametrize(("scale", "ratio"), [([0.35, 1.0], [0.75, 4 / 3]), ([0.5, 1.0], [0.4, 2.5])])
def test_random_resized_crops_have_the_law_of_torchvision(scale: Any, ratio: Any) -> None:
    rng, n = np.random.default_rng(0), 1500
    expected = np.array([torchvision_box(rng, scale, ratio) for _ in range(n)])
    found = boxes(n, scale=scale, ratio=ratio)
    assert found.min() > -1e-3 and (found[:, :2] + found[:, 2:]).max() < 1 + 1e-3
    laws = {
        "left": lambda box: box[:, 0],
        "top": lambda box: box[:, 1],
        "area": lambda box: box[:, 2] * box[:, 3],
        "ratio": lambda box: np.log(box[:, 2] / box[:, 3]),
    }
    for name, of in laws.items():
        assert ks_2samp(of(found), of(expected)).pvalue > 1e-3, name


@pytest.mark.tf
def test_where_no_rectangle_fits_the_largest_in_the_middle_is_taken() -> None:
    found = boxes(3, scale=[0.9, 1.0], ratio=[3.0, 3.5])
    np.testing.assert_allclose(found, [[0, 1 / 3, 1, 1 / 3]] * 3, atol=1e-3)
    np.testing.assert_allclose(boxes(2, scale=[1, 1], ratio=[1, 1]), [[0, 0, 1, 1]] * 2, atol=1e-3)


@pytest.mark.tf
def test_a_choice_takes_its_parts_as_often_as_its_weights_say() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels = np.full((600, 4, 4, 3), 100, np.float32), np.zeros((600, 4), np.float32)
    bright = {"op": "posterize", "bits": 1}
    choice = AugmentConfig(op="one-of", ops=[bright, {"op": "flip"}], weights=[3, 1])
    found = np.asarray(Pipeline([choice], 4, 4)(images, labels, seeds(3, 600))[0])
    assert abs((found[:, 0, 0, 0] == 0).mean() - 0.75) < 0.06
    perhaps = AugmentConfig(op="maybe", ops=[bright], rate=0.3)
    found = np.asarray(Pipeline([perhaps], 4, 4)(images, labels, seeds(4, 600))[0])
    assert abs((found[:, 0, 0, 0] == 0).mean() - 0.3) < 0.06
    twice = AugmentConfig(op="some-of", ops=[bright], k=2)
    assert (np.asarray(Pipeline([twice], 4, 4)(images, labels, seeds(4, 600))[0]) == 0).all()


def painted(n: int = 64) -> tuple[Any, Any, Any]:
    """Images of one level a class, their labels, and the levels: what a mix is made of can be counted."""
    levels = np.array([10, 90, 170, 250], np.float32)
    classes = np.arange(n) % 4
    images = np.broadcast_to(levels[classes][:, None, None, None], (n, 16, 16, 3)).astype(np.float32)
    return images, np.eye(4, dtype=np.float32)[classes], levels


@pytest.mark.tf
def test_the_labels_of_cutmix_are_the_shares_of_the_painted_area() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels, levels = painted()
    found, soft = (np.asarray(v) for v in Pipeline([entry("cutmix")], 16, 4)(images, labels, seeds(9, 64)))
    shares = np.stack([(found == level).mean(axis=(1, 2, 3)) for level in levels], axis=1)
    assert np.allclose(soft, shares, atol=1e-5)
    assert ((soft > 0).sum(axis=1) > 1).mean() > 0.3


@pytest.mark.tf
def test_the_labels_of_mixup_are_the_weights_of_the_mean() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels, levels = painted()
    found, soft = (np.asarray(v) for v in Pipeline([entry("mixup", alpha=1.0)], 16, 4)(images, labels, seeds(9, 64)))
    assert np.allclose(found[:, 0, 0, 0], soft @ levels, atol=1e-3)


@pytest.mark.tf
def test_a_choice_between_mixing_and_erasing_gives_each_image_the_label_of_its_own() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels, levels = painted()
    choice = AugmentConfig(op="one-of", ops=[{"op": "cutmix"}, {"op": "cutout"}])
    found, soft = (np.asarray(v) for v in Pipeline([choice], 16, 4)(images, labels, seeds(9, 64)))
    shares = np.stack([(found == level).mean(axis=(1, 2, 3)) for level in levels], axis=1)
    erased = (found == 0).any(axis=(1, 2, 3))
    assert 10 < erased.sum() < 54
    assert np.allclose(soft[~erased], shares[~erased], atol=1e-5)
    assert (soft[erased].max(axis=1) == 1).all()
    assert (soft.max(axis=1) < 1).any()


@pytest.mark.tf
def test_without_mixing_labels_stay_and_the_rest_is_augmented() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels = batch()
    found, soft = Pipeline([entry("cutmix"), entry("one-of"), entry("flip")], 32, 4, mixing=False)(
        images, labels, seeds(0)
    )
    assert np.array_equal(soft, labels)
    assert not np.array_equal(found, images)


@pytest.mark.tf
def test_effects_are_what_their_names_say() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels = batch(8, 32)
    smooth = np.broadcast_to(np.linspace(60, 190, 32, dtype=np.float32)[None, :, None, None], (8, 32, 32, 3)).copy()

    def run(op: str, source: Any, **keys: Any) -> Any:
        return np.asarray(Pipeline([AugmentConfig(op=op, **keys)], 32, 4)(source, labels, seeds(2))[0])

    flat = np.full((8, 32, 32, 3), 200, np.float32)
    assert np.allclose(run("blur", flat), 200, atol=0.1)  # no dark edge
    assert run("blur", images, sigma=3).std() < images.std()
    assert np.abs(run("jpeg", smooth, quality=30) - smooth).mean() < 5
    assert np.ptp(run("color-degeneration", images, factor=1), axis=-1).mean() < np.ptp(images, axis=-1).mean()
    shift = run("channel-shift", flat) - flat
    assert np.allclose(shift, shift[:, :1, :1])
    moved = run("noise", smooth, deviation=20) - smooth
    assert 2 < moved.std() < 20
    assert len(np.unique(moved.std(axis=(1, 2, 3)).round(3))) == 8
    assert (run("cutout", flat, factor=0.9) == 0).any()
    assert (run("gridmask", flat, ratio=0.9) == 0).any()
    assert run("solarize", np.full_like(flat, 254), threshold=0, addition=0).mean() < 254
    assert set(np.unique(run("posterize", images, bits=1))) == {0, 128}


@pytest.mark.tf
def test_a_stain_multiplies_optical_density_and_a_gradient_is_a_plane_of_light() -> None:
    from kit.images.augment.pipeline import Pipeline

    def run(op: str, source: Any, **keys: Any) -> Any:
        return np.asarray(Pipeline([AugmentConfig(op=op, **keys)], 32, 4)(source, batch()[1], seeds(2))[0])

    levels = np.broadcast_to(np.linspace(1, 254, 32, dtype=np.float32)[:, None, None], (8, 32, 32, 3)).copy()
    powers = np.log(run("stain", levels, factor=0.4) / 255) / np.log(levels / 255)
    np.testing.assert_allclose(powers, np.broadcast_to(powers[:, :1, :1], powers.shape), rtol=1e-3)
    assert np.exp(-0.4) <= powers.min() < 0.9 and 1.1 < powers.max() <= np.exp(0.4) + 1e-3
    assert np.array_equal(run("stain", np.full_like(levels, 255)), np.full_like(levels, 255))
    light = run("gradient", np.full_like(levels, 100), factor=0.4) / 100
    np.testing.assert_allclose(light.mean((1, 2)), 1, atol=1e-3)
    assert 0.6 - 1e-3 <= light.min() < 0.8 and 1.2 < light.max() <= 1.4 + 1e-3
    for axis in (1, 2):
        np.testing.assert_allclose(np.diff(light, 2, axis=axis), 0, atol=1e-3)


@pytest.mark.tf
def test_degrade_is_its_parts_drawn_and_chained() -> None:
    from kit.images.augment.pipeline import Pipeline

    images, labels = batch()
    parts = [
        {"op": "blur", "sigma": 2.0},
        {"op": "noise", "deviation": 25.0},
        {"op": "brightness", "factor": 0.25},
        {"op": "contrast", "factor": 0.5},
        {"op": "saturation", "factor": 0.4},
        {"op": "channel-shift", "factor": 0.25},
        {"op": "hue", "factor": 0.05},
    ]
    same = entry("maybe", rate=0.8, ops=[{"op": "some-of", "k": 2, "ops": parts}])
    pipelines = (first_use("degrade")[0], Pipeline([same], 32, 4))
    found, expected = (pipeline(images, labels, seeds(3))[0] for pipeline in pipelines)
    assert np.array_equal(found, expected)
    stronger = Pipeline([entry("degrade", magnitude=1.0, rate=1.0)], 32, 4)(images, labels, seeds(3))[0]
    assert np.abs(stronger - images).mean() > np.abs(found - images).mean()
    first = [
        {"op": "zoom", "factor": 0.25},
        {"op": "stain", "factor": 0.3},
        {"op": "gradient", "factor": 0.25},
    ]
    both = entry("sequence", ops=[{"op": "maybe", "rate": 0.8, "ops": first}, same.model_dump()])
    pipelines = (Pipeline([entry("degrade", laboratory=True)], 32, 4), Pipeline([both], 32, 4))
    found, expected = (pipeline(images, labels, seeds(3))[0] for pipeline in pipelines)
    assert np.array_equal(found, expected)


@pytest.mark.tf
@pytest.mark.parametrize("op", [op for op in OPS if op not in OWN])
def test_the_entry_executes_code_of_keras_cv(op: str) -> None:
    _, called = first_use(op)
    assert called & {"_augment", "_batch_augment", "augment_images", "_update_labels", "cutmix", "mixup", "_cutmix"}


@pytest.mark.tf
def test_randaugment_gives_the_bytes_of_the_layer_of_keras_cv() -> None:
    from kit.images.augment import choice, pipeline

    def plain(ops: int, magnitude: float, rate: float) -> Any:
        keys = {"augmentations_per_image": ops, "magnitude": magnitude, "rate": rate}
        return pipeline.layer_op("RandAugment", (0, 255), **keys)

    images, labels = batch(48, 24)
    images[0], images[1, :, :, 2] = 7, 0  # nothing to equalize, and nothing to stretch in one channel
    policy = [entry("randaugment", ops=2, magnitude=0.6, rate=1.0)]
    quick = pipeline.Pipeline(policy, 24, 4)
    with mock.patch.object(choice, "randaugment", plain):
        slow = pipeline.Pipeline(policy, 24, 4)
    for number in range(2):
        found, expected = (made(images, labels, seeds(number, 48))[0] for made in (quick, slow))
        assert np.array_equal(found, expected)


@pytest.mark.tf
def test_flips_and_noise_do_not_load_keras_cv() -> None:
    from kit.images.augment.pipeline import Pipeline

    with mock.patch.dict(sys.modules, {"keras_cv": None}):  # what imports it fails
        Pipeline([entry(op) for op in ("flip", "dihedral", "quarter-turn", "crop", "noise")], 32, 4)(*batch(), seeds(0))
        with pytest.raises(ImportError):
            Pipeline([entry("rotation")], 32, 4)(*batch(), seeds(0))


@pytest.mark.tf
def test_tensorflows_own_randomness_is_as_before() -> None:
    import tensorflow as tf

    from kit.images.augment.pipeline import Pipeline

    before = tf.random.uniform
    images, labels = batch()
    Pipeline([AugmentConfig(op="cutmix")], 32, 4)(images, labels, seeds(0))
    assert tf.random.uniform is before
