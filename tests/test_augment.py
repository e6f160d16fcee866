"""Augmentations are pure functions of images and seeds."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from kit.augment import OPS, check
from kit.config import AugmentConfig
from kit.errors import ConfigError

KERAS_CV = ("flip", "randaugment", "cutmix", "mixup")


def batch(n: int = 8, size: int = 32) -> tuple[Any, Any]:
    images = np.random.default_rng(1).integers(0, 256, (n, size, size, 3)).astype(np.float32)
    return images, np.eye(4, dtype=np.float32)[np.arange(n) % 4]


def seeds(number: int, n: int = 8) -> Any:
    return np.random.default_rng(number).integers(0, 2**31 - 1, (n, 2)).astype(np.int32)


@pytest.mark.parametrize("op", OPS)
def test_the_defaults_of_an_entry_are_valid(op: str) -> None:
    check([AugmentConfig(op=op)])


def test_unknown_operations_and_keys_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        check([AugmentConfig(op="mixupp")])
    assert caught.value.hint == "did you mean `mixup`?"
    with pytest.raises(ConfigError) as caught:
        check([AugmentConfig(op="randaugment", magnitud=1)])
    assert caught.value.hint == "did you mean `magnitude`?"


@pytest.mark.tf
@pytest.mark.parametrize("op", OPS)
def test_the_same_seeds_give_the_same_bytes_and_other_seeds_others(op: str) -> None:
    from kit.augment.pipeline import Pipeline

    images, labels = batch()
    pipeline, again = (Pipeline([AugmentConfig(op=op)], 32, 4) for _ in range(2))
    first = pipeline(images, labels, seeds(0))
    pipeline(images, labels, seeds(5))
    for other in (pipeline(images, labels, seeds(0)), again(images, labels, seeds(0))):
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0], pipeline(images, labels, seeds(1))[0])
    found, soft = (np.asarray(value) for value in first)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.allclose(soft.sum(axis=1), 1)


@pytest.mark.tf
def test_an_image_is_augmented_alike_in_any_batch() -> None:
    from kit.augment.pipeline import Pipeline

    images, labels = batch()
    pipeline = Pipeline([AugmentConfig(op="randaugment")], 32, 4)
    whole, _ = pipeline(images, labels, seeds(0))
    part, _ = pipeline(images[2:5], labels[2:5], seeds(0)[2:5])
    assert np.array_equal(np.asarray(whole)[2:5], part)


@pytest.mark.tf
@pytest.mark.parametrize("op", KERAS_CV)
def test_the_entry_executes_code_of_keras_cv(op: str) -> None:
    from kit.augment.pipeline import Pipeline

    called: set[str] = set()

    def trace(frame: Any, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if "keras_cv/src/layers/preprocessing" in name:
            called.add(frame.f_code.co_name)

    pipeline = Pipeline([AugmentConfig(op=op)], 32, 4)
    images, labels = batch()
    sys.setprofile(trace)
    try:
        pipeline(images, labels, seeds(0))
    finally:
        sys.setprofile(None)
    assert called & {"_augment", "_batch_augment", "augment_images", "_update_labels", "cutmix", "mixup", "_cutmix"}


@pytest.mark.tf
def test_tensorflows_own_randomness_is_as_before() -> None:
    import tensorflow as tf

    from kit.augment.pipeline import Pipeline

    before = tf.random.uniform
    images, labels = batch()
    Pipeline([AugmentConfig(op="cutmix")], 32, 4)(images, labels, seeds(0))
    assert tf.random.uniform is before
