"""Laws of the digits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kit.errors import DataError
from kit.images.sources import generated


@pytest.mark.parametrize("size", [8, 16, 32])
def test_shapes_and_types_are_as_promised(size):
    data = generated.digits(size=size)
    assert data.images.shape == (1500, size, size, 3) and data.images.dtype == np.uint8
    assert data.test_images.shape == (297, size, size, 3) and data.test_images.dtype == np.uint8
    assert data.labels.shape == (1500,) and data.labels.dtype == np.int64
    assert data.test_labels.shape == (297,) and data.test_labels.dtype == np.int64
    assert data.classes == tuple("0123456789")


def test_both_parts_together_are_the_original_in_its_order():
    data, (grey, labels) = generated.digits(size=16), load_digits(return_X_y=True)
    pixels = np.concatenate([data.images, data.test_images])[:, ::2, ::2, 0].reshape(len(grey), 64)
    np.testing.assert_allclose(pixels / 255 * 16, grey, atol=16 / 255 / 2)
    np.testing.assert_array_equal(np.concatenate([data.labels, data.test_labels]), labels)


def test_enlarging_repeats_pixels_and_the_channels_are_equal():
    small, large = generated.digits(size=8).images, generated.digits(size=32).images
    np.testing.assert_array_equal(large, np.kron(small[..., :1], np.ones((1, 4, 4, 3), np.uint8)))


def test_two_calls_are_equal():
    one, two = generated.digits(), generated.digits()
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.test_images, two.test_images)


def test_every_class_is_in_both_parts():
    data = generated.digits(size=8)
    assert np.bincount(data.labels).min() > 100 and np.bincount(data.test_labels).min() > 20


@pytest.mark.parametrize("size", [0, 4, 20, -8])
def test_a_side_that_is_no_multiple_of_eight_is_refused(size):
    with pytest.raises(DataError, match=f"size = {size} is not a multiple of 8"):
        generated.digits(size=size)
