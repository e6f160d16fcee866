"""Arrays in one file: shapes, sizes, groups and weights."""

from __future__ import annotations

import numpy as np
import pytest

from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source
from kit.runtime import decode

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def opened(root, part="train", text="", **arrays):
    np.savez(root / "a.npz", **{"images": IMAGES, "labels": LABELS, **arrays})
    return open_source(parse(f'[data]\ntrain = "a.npz"\ntruth = "b.npz"\n{text}').data, root, part)


def test_labels_of_either_shape_are_read(tmp_path):
    for labels in (LABELS, LABELS[:, None], LABELS.astype(np.uint8)[:, None], LABELS.astype(np.float32)):
        assert opened(tmp_path, labels=labels).labels.tolist() == LABELS.tolist()


def test_images_are_resized_by_the_one_rule(tmp_path):
    raw = opened(tmp_path, text='image_size = 12\nresize = "crop"')
    assert raw.shape == (12, 12)
    np.testing.assert_array_equal(raw.all_images()[3], decode.resize(IMAGES[3], 12, "crop"))


def test_groups_and_weights_are_arrays_of_the_file(tmp_path):
    raw = opened(tmp_path, text='group = "patient"\nweight = "w"', patient=np.array(list("aabbcc")), w=np.arange(6) / 2)
    assert raw.groups == tuple("aabbcc")
    np.testing.assert_array_equal(raw.weights, np.arange(6) / 2)


def test_an_array_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.group = 'patient' not found: a\.npz has the arrays images, labels"):
        opened(tmp_path, text='group = "patient"')


def test_hidden_labels_keep_the_number_of_classes_of_the_training_set(tmp_path):
    np.savez(tmp_path / "b.npz", images=IMAGES[:2], labels=LABELS[:2])
    assert opened(tmp_path, "truth").classes == ("0", "1", "2")


def test_a_hidden_class_that_training_has_not_is_refused(tmp_path):
    np.savez(tmp_path / "b.npz", images=IMAGES, labels=LABELS + 1)
    with pytest.raises(DataError, match="class '3' is not in the training set"):
        opened(tmp_path, "truth")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES / 255}, "values that are not integers from 0 to 255"),
        ({"images": IMAGES[..., :2]}, "expected \\(N, H, W, 3\\)"),
        ({"labels": LABELS[:3]}, "labels have shape \\(3,\\)"),
        ({"labels": LABELS + 0.5}, "labels are not whole numbers"),
        ({"labels": LABELS - 2}, "a label is -2"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        opened(tmp_path, **arrays)
