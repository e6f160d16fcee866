"""Arrays in one file: shapes, sizes, groups and weights."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from competitions import all_images
from PIL import Image

from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source, training_classes
from kit.runtime import decode
from kit.store.files import sha256_json
from kit.store.record import digest

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def opened(root, part="train", text="", **arrays):
    np.savez(root / "a.npz", **{"images": IMAGES, "labels": LABELS, **arrays})
    return open_source(parse(f'[data]\ntrain = "a.npz"\ntruth = "b.npz"\n{text}').data, root, part)


def test_labels_of_either_shape_are_read(tmp_path):
    for labels in (LABELS, LABELS[:, None], LABELS.astype(np.uint8)[:, None], LABELS.astype(np.float32)):
        assert opened(tmp_path, labels=labels).labels.tolist() == LABELS.tolist()


GREY = IMAGES[..., 0]
FORMS = {
    "floats from 0 to 1": IMAGES / 255,
    "half precision": (IMAGES / 255).astype(np.float16),
    "fractions": IMAGES + 0.3,
    "from 0 to 1 and a little over": IMAGES / 254.8,
    "16 bits": IMAGES.astype(np.uint16) * 257,
    "long integers": IMAGES.astype(np.int64),
    "channels first": IMAGES.transpose(0, 3, 1, 2),
    "opaque RGBA": np.concatenate([IMAGES, np.full((6, 8, 8, 1), 255, np.uint8)], axis=-1),
    "opaque RGBA, channels first, floats": np.concatenate([IMAGES / 255, np.ones((6, 8, 8, 1))], -1).transpose(
        0, 3, 1, 2
    ),
}
GREYS = {
    "N, H, W": GREY,
    "N, H, W, 1": GREY[..., None],
    "N, 1, H, W": GREY[:, None] / 255,
    "N, H * W": GREY.reshape(6, -1),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_picture_in_any_form_is_the_same_pixels(tmp_path, form):
    np.testing.assert_array_equal(all_images(opened(tmp_path, images=FORMS[form])), IMAGES)


@pytest.mark.parametrize("form", GREYS)
def test_grey_pictures_have_three_equal_channels_whatever_their_shape(tmp_path, form):
    np.testing.assert_array_equal(all_images(opened(tmp_path, images=GREYS[form])), GREY[..., None].repeat(3, -1))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_black_and_white_is_0_and_255(tmp_path, kind):
    bits = IMAGES > 127
    np.testing.assert_array_equal(all_images(opened(tmp_path, images=bits.astype(kind))), bits * np.uint8(255))


def test_transparent_pixels_are_seen_over_white(tmp_path):
    images = np.concatenate([IMAGES, np.zeros((6, 8, 8, 1), np.uint8)], axis=-1)
    assert (all_images(opened(tmp_path, images=images)) == 255).all()


@pytest.mark.parametrize("planes", [True, False])
def test_rows_of_colours_are_read_in_the_order_that_makes_neighbours_alike(tmp_path, planes):
    ramp = np.linspace(0, 200, 8).astype(np.uint8)
    images = np.stack([np.stack([ramp + 10 * row, ramp[::-1], ramp // 2], -1)[None].repeat(8, 0) for row in range(6)])
    rows = (images.transpose(0, 3, 1, 2) if planes else images).reshape(6, -1)
    np.testing.assert_array_equal(all_images(opened(tmp_path, images=rows)), images)


def test_the_scale_is_one_for_the_whole_set(tmp_path):
    """A dark image among others is not made brighter than they are."""
    images = IMAGES / 255
    images[2] /= 300
    assert all_images(opened(tmp_path, images=images))[2].max() <= 1


NAMES = [("x_train", "y_train"), ("train_images", "train_labels"), ("X", "y"), ("arr_0", "arr_1"), ("data", "targets")]


@pytest.mark.parametrize("names", NAMES)
def test_arrays_are_found_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    raw = open_source(parse('[data]\ntrain = "a.npz"').data, tmp_path, "train")
    np.testing.assert_array_equal(all_images(raw), IMAGES)
    assert raw.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("names", ["x_{}", "{}_images"])
def test_each_part_of_one_file_is_read_as_that_part(tmp_path, names):
    labels = names.replace("x", "y").replace("images", "labels")
    arrays = {names.format("train"): IMAGES, labels.format("train"): LABELS}
    arrays |= {names.format("test"): IMAGES[:2] // 2, labels.format("test"): LABELS[1:3]}
    np.savez(tmp_path / "a.npz", **arrays)
    data = parse('[data]\ntrain = "a.npz"\ntest = "a.npz"\ntruth = "a.npz"').data
    train, test, truth = (open_source(data, tmp_path, part) for part in ("train", "test", "truth"))
    assert len(train.ids) == 6 and test.labels.tolist() == [-1, -1] and truth.labels.tolist() == [1, 2]
    np.testing.assert_array_equal(all_images(test), IMAGES[:2] // 2)


@pytest.mark.parametrize("named", ["", 'classes = "names.txt"'])
def test_labels_as_numbers_names_or_one_hot_are_the_same(tmp_path, named):
    (tmp_path / "names.txt").write_text("ant\nbee\ncow\n")
    names = np.array(["ant", "bee", "cow"])
    forms = [np.eye(3)[LABELS], np.eye(3, dtype=bool)[LABELS], names[LABELS], names[LABELS].astype("S")]
    for labels in forms:
        raw = opened(tmp_path, text=named, labels=labels)
        assert raw.labels.tolist() == LABELS.tolist()
        assert raw.classes == (("ant", "bee", "cow") if named or labels.dtype.kind in "US" else ("0", "1", "2"))


def test_a_number_is_the_name_of_its_class(tmp_path):
    raw = opened(tmp_path, labels=LABELS * 2 + 1)
    assert raw.classes == ("1", "3", "5") and raw.labels.tolist() == LABELS.tolist()


def test_labels_from_one_do_not_take_the_names_of_others(tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncow\n")
    with pytest.raises(DataError, match="label 3 has no name") as caught:
        opened(tmp_path, text='classes = "names.txt"', labels=LABELS + 1)
    assert caught.value.hint == "labels = labels - 1"


def test_nothing_but_what_is_asked_for_is_looked_at(tmp_path):
    """Notes beside the images are stored as a pickle, which is never loaded."""
    raw = opened(tmp_path, notes=np.array({"camera": "one"}, dtype=object), text='label = "grade"', grade=LABELS[::-1])
    assert raw.labels.tolist() == LABELS[::-1].tolist()


@pytest.mark.parametrize(("images", "labels"), [("x_train", "y_train"), ("images", "labels"), ("pets", "pets_labels")])
def test_arrays_in_two_files_are_read_together(tmp_path, images, labels):
    np.save(tmp_path / f"{images}.npy", IMAGES)
    np.save(tmp_path / f"{labels}.npy", LABELS + 1)
    data = parse(f'[data]\ntrain = "{images}.npy"\ntest = "{images}.npy"').data
    raw, test = open_source(data, tmp_path, "train"), open_source(data, tmp_path, "test")
    np.testing.assert_array_equal(all_images(raw), all_images(test))
    assert raw.classes == ("1", "2", "3") and raw.labels.tolist() == LABELS.tolist()


def test_an_array_without_labels_beside_it_says_what_was_looked_for(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(DataError, match="no file of labels") as caught:
        open_source(parse('[data]\ntrain = "x.npy"').data, tmp_path, "train")
    assert caught.value.hint.startswith("[data] label = ")


def test_images_are_resized_by_the_one_rule(tmp_path):
    raw = opened(tmp_path, text='image_size = 12\nresize = "crop"')
    assert raw.shape == (12, 12)
    np.testing.assert_array_equal(all_images(raw)[3], decode.resize(IMAGES[3], 12, "crop"))


def test_groups_and_weights_are_arrays_of_the_file(tmp_path):
    raw = opened(tmp_path, text='group = "patient"\nweight = "w"', patient=np.array(list("aabbcc")), w=np.arange(6) / 2)
    assert raw.groups == tuple("aabbcc")
    np.testing.assert_array_equal(raw.weights, np.arange(6) / 2)


def test_an_array_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.group = 'patient' not found: a\.npz has the arrays images, labels"):
        opened(tmp_path, text='group = "patient"')


def test_a_file_that_could_be_read_before_keeps_its_fingerprint(tmp_path):
    """Trained networks hang on it: digest, decoder, size, policy, group and weight, and nothing that is as usual."""
    raw = opened(tmp_path)
    assert raw.fingerprint == sha256_json([digest(tmp_path / "a.npz"), decode.VERSION, 0, "", "", ""])


def test_another_array_of_labels_is_another_set_but_the_same_test(tmp_path):
    texts = ("", 'label = "labels"', 'label = "grade"')
    train, test = (
        {opened(tmp_path, part, f'test = "a.npz"\n{text}', grade=LABELS[::-1]).fingerprint for text in texts}
        for part in ("train", "test")
    )
    assert len(train) == 3 and len(test) == 1


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
        ({"images": IMAGES / 100 - 1.5}, "floating-point pixels from -1.5 to 1.05: no known scale"),
        ({"images": IMAGES.astype(int) * 300}, "whole numbers from 0 to .*: no known scale"),
        ({"images": np.where(IMAGES > 9, IMAGES, np.nan)}, "NaN or infinite"),
        ({"images": IMAGES.astype(object)}, "the array 'images' holds Python objects"),
        ({"images": IMAGES.astype(str)}, "pixels have the type <U3, which is not numbers"),
        ({"images": IMAGES[..., :2]}, "expected \\(N, H, W, 3\\)"),
        ({"labels": np.eye(3)[LABELS] / 2}, "not a single 1 and zeros in every row"),
        ({"labels": LABELS[:3]}, "labels have shape \\(3,\\)"),
        ({"labels": LABELS + 0.5}, "labels are not whole numbers or names"),
        ({"images": np.array(7)}, r"images have shape \(\), expected"),
        ({"images": IMAGES.reshape(6, -1)[:, :0]}, r"images have shape \(6, 0\), expected"),
        ({"labels": np.array(7)}, r"labels have shape \(\), expected"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        opened(tmp_path, **arrays)


@pytest.mark.parametrize(
    "images",
    [np.where(IMAGES > 9, IMAGES / 255, np.nan), np.where(IMAGES > 9, IMAGES / 1.0, np.inf), IMAGES / 127.5 - 1],
)
def test_pixels_that_are_scaled_as_the_hint_says_are_read(tmp_path, images):
    with pytest.raises(DataError) as caught:
        opened(tmp_path, images=images)
    scaled = eval(caught.value.hint.removeprefix("images = "), {"np": np, "images": images})
    assert all_images(opened(tmp_path, images=scaled)).max() == 255


def test_a_single_number_in_the_place_of_an_array_is_told(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=7)
    for images, labels in ((7, LABELS), (IMAGES, 7)):
        np.save(tmp_path / "x.npy", images)
        np.save(tmp_path / "y.npy", labels)
        with pytest.raises(DataError, match=r"have shape \(\), expected"):
            open_source(parse('[data]\ntrain = "x.npy"').data, tmp_path, "train")
    for file in ("a.npz", "x.npy"):
        with pytest.raises(DataError, match=r"labels have shape \(\), expected"):
            training_classes(parse(f'[data]\ntrain = "{file}"').data, tmp_path)


def idx(path, array):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize("name", ["train-{}-idx{}-ubyte", "train-{}.idx{}-ubyte", "train-{}-idx{}-ubyte.gz"])
def test_the_files_of_mnist_are_arrays(tmp_path, name):
    idx(tmp_path / name.format("images", 3), IMAGES[..., 0])
    idx(tmp_path / name.format("labels", 1), LABELS)
    data = parse(f'[data]\ntrain = "{name.format("images", 3)}"\n').data
    raw = open_source(data, tmp_path, "train")
    np.testing.assert_array_equal(all_images(raw), np.repeat(IMAGES[..., :1], 3, axis=-1))
    assert raw.labels.tolist() == LABELS.tolist() and training_classes(data, tmp_path) == ("0", "1", "2")


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"\0\0\x0d" + content[3:], lambda _: b""]
)
def test_a_damaged_idx_file_is_told(tmp_path, damage):
    path = tmp_path / "images-idx3-ubyte"
    idx(path, IMAGES[..., 0])
    path.write_bytes(damage(path.read_bytes()))
    idx(tmp_path / "labels-idx1-ubyte", LABELS)
    with pytest.raises(DataError, match="idx3-ubyte"):
        open_source(parse(f'[data]\ntrain = "{path.name}"\n').data, tmp_path, "train")


def test_a_folder_or_a_table_with_such_a_name_is_what_it_is(tmp_path):
    for row, name in enumerate(("cat", "dog", "cat")):
        (tmp_path / f"images-idx3/{name}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[row]).save(tmp_path / f"images-idx3/{name}/{row}.png")
    raw = open_source(parse('[data]\ntrain = "images-idx3"\n').data, tmp_path, "train")
    assert raw.classes == ("cat", "dog") and len(raw.ids) == 3
    (tmp_path / "fold-idx3.csv").write_text("image,label\ncat/0.png,1\ndog/1.png,2\n")
    assert open_source(parse('[data]\ntrain = "fold-idx3.csv"\n').data, tmp_path, "train").classes == ("1", "2")


def test_names_in_bytes_that_are_not_utf_8_stay_apart(tmp_path):
    names = np.array([name.encode("cp1252") for name in ("\xe9t\xe9", "\xe8t\xe9", "cat") * 2])
    raw = opened(tmp_path, labels=names)
    assert len(raw.classes) == 3 and raw.labels[:3].tolist() == raw.labels[3:].tolist()
