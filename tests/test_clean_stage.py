"""``kit clean`` on files as people receive them: every image is kept, dropped or listed, with its reason."""

from __future__ import annotations

import numpy as np
import pytest
from competitions import COLOURS, folder_competition, kaggle_competition, names, picture, write_csv
from PIL import Image

from kit.base.events import silent
from kit.config import parse
from kit.errors import ConfigError, DataError, StageError
from kit.images.sources import open_source
from kit.images.sources.raw import joined
from kit.stages.clean.clean import clean
from kit.stages.clean.quality import odd_sizes
from kit.store.data import load_images, load_index, unlabelled_ids, unlabelled_images, unlabelled_record
from kit.store.files import lock, read_csv
from kit.store.layout import Layout

pytestmark = pytest.mark.stage


def cleaned(root, text, **options):
    layout = Layout(root)
    clean(layout, parse(text), silent, **options)
    return layout


def test_a_folder_of_classes_is_read_and_its_damaged_files_are_listed(tmp_path):
    folder_competition(tmp_path)
    layout = cleaned(tmp_path, '[data]\ntrain = "raw"')
    index = load_index(layout)
    assert index.classes == ("cat", "dog", "hen") and len(index.ids) == 36
    dropped = {line["id"]: line for line in read_csv(layout.dropped)}
    assert dropped.keys() == {"cat/empty.png", "cat/text.jpg", "dog/half.png"}
    assert dropped["cat/empty.png"]["reason"] == "unreadable" and dropped["cat/empty.png"]["detail"] == "empty file"
    for name, label, image in zip(index.ids, index.labels, load_images(layout), strict=True):
        assert name.startswith(index.classes[label])
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / "raw" / name)))


def test_a_table_gives_labels_groups_weights_and_test_ids(tmp_path):
    kaggle_competition(tmp_path)
    layout = cleaned(
        tmp_path, '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"\ngroup = "patient"\nweight = "trust"'
    )
    index = load_index(layout)
    assert [index.classes[label] for label in index.labels] == names(36)
    assert len(set(index.groups)) == 12 and index.groups[0] == index.groups[2] != index.groups[3]
    np.testing.assert_array_equal(index.weights, [1 + row % 2 for row in range(36)])
    assert unlabelled_ids(layout, "test") == tuple(f"test_{row:02d}.png" for row in range(9))
    np.testing.assert_array_equal(
        unlabelled_images(layout, "test")[4], np.asarray(Image.open(tmp_path / "raw/test/test_04.png"))
    )


def test_the_same_file_gives_the_same_pixels_in_training_and_test(tmp_path):
    kaggle_competition(tmp_path)
    for row in range(9):
        (tmp_path / f"raw/test/test_{row:02d}.png").write_bytes(
            (tmp_path / f"raw/train/img_{row:03d}.png").read_bytes()
        )
    text = (
        '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"\nimage_size = 40\nresize = "crop"\n[clean]\nexact = "keep"'
    )
    layout = cleaned(tmp_path, text)
    np.testing.assert_array_equal(unlabelled_images(layout, "test"), load_images(layout)[:9])


def test_external_rows_come_last_are_train_only_and_number_their_classes_like_the_training_set(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "more/hen").mkdir(parents=True)
    for row in range(3):
        picture("hen", 900 + row).save(tmp_path / f"more/hen/{row}.png")
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nexternal = "more"')
    index = load_index(layout)
    assert len(index.ids) == 36
    assert index.extra.ids == ("external/hen/0.png", "external/hen/1.png", "external/hen/2.png")
    assert index.extra.labels.tolist() == [2, 2, 2]
    assert [line["role"] for line in read_csv(layout.index)] == ["train"] * 36 + ["train-only"] * 3
    assert len(load_images(layout)) == 39


def test_an_external_copy_of_a_training_image_goes_and_not_the_training_image(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "more/hen").mkdir(parents=True)
    (tmp_path / "more/hen/copy.png").write_bytes((tmp_path / "raw/train/img_002.png").read_bytes())
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nexternal = "more"')
    assert len(load_index(layout).ids) == 36
    line = read_csv(layout.dropped)[0]
    assert (line["id"], line["reason"], line["twin"]) == ("external/hen/copy.png", "exact-copy", "img_002")


def test_an_external_class_that_nobody_knows_is_refused(tmp_path):
    folder_competition(tmp_path)
    (tmp_path / "more/owl").mkdir(parents=True)
    picture("cat", 1).save(tmp_path / "more/owl/1.png")
    with pytest.raises(DataError, match="class 'owl' is not in the training set"):
        cleaned(tmp_path, '[data]\ntrain = "raw"\nexternal = "more"')


def test_an_unreadable_test_image_keeps_its_row_and_is_listed(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "raw/test/test_03.png").write_bytes(b"")
    said = []
    layout = Layout(tmp_path)
    clean(layout, parse('[data]\ntrain = "raw/train.csv"\ntest = "raw/test"\nimage_size = 32'), said.append)
    assert len(unlabelled_ids(layout, "test")) == 9 and not unlabelled_images(layout, "test")[3].any()
    problems = {line["id"]: line["problem"] for line in read_csv(layout.index_of("test")) if line["problem"]}
    assert problems == {"test_03.png": "empty file"}
    assert any(event.kind == "warn" and "1 test images" in event.text for event in said)


def test_mixed_sizes_are_refused_with_a_size_to_paste_and_accepted_with_it(tmp_path):
    folder_competition(tmp_path)
    picture("cat", 77, size=48).save(tmp_path / "raw/cat/large.png")
    with pytest.raises(DataError, match="2 different sizes, most often 32 x 32 \\(37\\), 48 x 48 \\(1\\)") as caught:
        cleaned(tmp_path, '[data]\ntrain = "raw"')
    assert caught.value.hint == "[data] image_size = 32"
    layout = cleaned(tmp_path, '[data]\ntrain = "raw"\nimage_size = 32')
    assert load_images(layout).shape == (37, 32, 32, 3)


def test_a_second_time_is_fresh_and_another_byte_in_a_file_is_not(tmp_path):
    folder_competition(tmp_path)
    text = '[data]\ntrain = "raw"'
    layout = cleaned(tmp_path, text)
    before = layout.data_manifest.stat().st_mtime_ns
    cleaned(tmp_path, text)
    assert layout.data_manifest.stat().st_mtime_ns == before
    picture("hen", 4242).save(tmp_path / "raw/hen/002.png")
    cleaned(tmp_path, text)
    assert layout.data_manifest.stat().st_mtime_ns != before


def test_test_images_that_are_no_longer_configured_are_gone(tmp_path):
    kaggle_competition(tmp_path)
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"')
    assert layout.images_of("test").exists()
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"')
    assert unlabelled_images(layout, "test") is None


def test_images_without_labels_are_stored_apart_and_unreadable_ones_are_left_out(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "raw/test/test_03.png").write_bytes(b"")
    text = '[data]\ntrain = "raw/train.csv"\nunlabelled = "raw/test"\nimage_size = 32'
    said = []
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nimage_size = 32')
    before = layout.data_manifest.read_bytes()
    clean(layout, parse(text), said.append)
    assert unlabelled_ids(layout, "unlabelled") == tuple(f"test_{row:02d}.png" for row in range(9) if row != 3)
    images = unlabelled_images(layout, "unlabelled")
    np.testing.assert_array_equal(images[3], np.asarray(Image.open(tmp_path / "raw/test/test_04.png")))
    assert unlabelled_images(layout, "test") is None and layout.data_manifest.read_bytes() == before
    assert any(event.kind == "warn" and "1 unlabelled images" in event.text for event in said)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="no image files") as caught:
        cleaned(tmp_path, text.replace("raw/test", "nothing"))
    assert caught.value.hint == '[data] unlabelled = "a folder of images"'
    for path in (tmp_path / "raw/test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 9 unlabelled images can be read; 'test_00\.png': empty file"):
        cleaned(tmp_path, text)
    cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nimage_size = 32')
    assert not layout.manifest_of("unlabelled").exists() and not layout.images_of("unlabelled").exists()


def test_the_training_images_without_a_label_are_those_to_learn_from_where_both_keys_name_one_table(tmp_path):
    kaggle_competition(tmp_path)
    header, *lines = (tmp_path / "raw/train.csv").read_text().splitlines()
    bare = [line if row % 4 else line.rpartition(",")[0] + "," for row, line in enumerate(lines)]
    (tmp_path / "raw/train.csv").write_text("\n".join([header, *bare]))
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nunlabelled = "raw/train.csv"')
    ids = [line.partition(",")[0] for line in lines]
    assert unlabelled_ids(layout, "unlabelled") == tuple(ids[::4])
    assert sorted(load_index(layout).ids) == sorted(set(ids) - set(ids[::4]))
    shown = np.asarray(Image.open(tmp_path / f"raw/train/{ids[4]}.png"))
    np.testing.assert_array_equal(unlabelled_images(layout, "unlabelled")[1], shown)
    (tmp_path / "raw/train.csv").write_text("\n".join([header, *lines]))
    with pytest.raises(DataError, match="all 36 images there have a label"):
        cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\nunlabelled = "raw/train.csv"')


@pytest.mark.parametrize("spec", ["./raw/train.csv", "raw/../raw/train.csv", "raw//train.csv", "{root}/raw/train.csv"])
def test_the_table_of_the_training_images_is_known_in_whatever_way_its_path_is_written(tmp_path, spec):
    kaggle_competition(tmp_path)
    header, *lines = (tmp_path / "raw/train.csv").read_text().splitlines()
    bare = [line if row % 4 else line.rpartition(",")[0] + "," for row, line in enumerate(lines)]
    (tmp_path / "raw/train.csv").write_text("\n".join([header, *bare]))
    spec = spec.format(root=tmp_path)
    layout = cleaned(tmp_path, f'[data]\ntrain = "raw/train.csv"\nunlabelled = "{spec}"')
    assert unlabelled_ids(layout, "unlabelled") == tuple(line.partition(",")[0] for line in lines[::4])


def test_training_and_test_images_are_cleaned_apart(tmp_path):
    kaggle_competition(tmp_path)
    text = '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"'
    layout = cleaned(tmp_path, text)
    data, test = layout.data_manifest.read_bytes(), unlabelled_record(layout, "test")
    picture("hen", 4242).save(tmp_path / "raw/test/test_03.png")
    cleaned(tmp_path, text)
    assert layout.data_manifest.read_bytes() == data
    other = unlabelled_record(layout, "test")
    assert other.images != test.images and other.n == test.n
    picture("hen", 4243).save(tmp_path / "raw/train/img_002.png")
    cleaned(tmp_path, text)
    assert layout.data_manifest.read_bytes() != data
    assert unlabelled_record(layout, "test") == other


@pytest.mark.parametrize("name", ["images.npy", "index.csv", "dropped.csv", "noted.csv", "test.npy", "test_index.csv"])
def test_a_file_that_was_changed_by_hand_is_not_overwritten_unasked(tmp_path, name):
    kaggle_competition(tmp_path)
    text = '[data]\ntrain = "raw/train.csv"\ntest = "raw/test"'
    path = cleaned(tmp_path, text).data / name
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    with pytest.raises(StageError, match=f"{name} was changed after the kit wrote it") as caught:
        cleaned(tmp_path, text)
    assert caught.value.hint == "kit clean --force" and path.read_bytes() == before + b"\n"
    cleaned(tmp_path, text, force=True)
    assert path.read_bytes() == before


def test_data_that_are_being_read_are_not_cleaned_anew(tmp_path):
    folder_competition(tmp_path)
    layout = cleaned(tmp_path, '[data]\ntrain = "raw"')
    before = layout.data_manifest.read_bytes()
    with lock(layout.data_lock, "data/", shared=True):
        cleaned(tmp_path, '[data]\ntrain = "raw"')  # up to date: it reads too
        with pytest.raises(StageError, match="is working on data/"):
            cleaned(tmp_path, '[data]\ntrain = "raw"\nimage_size = 16')
    assert layout.data_manifest.read_bytes() == before
    assert load_images(cleaned(tmp_path, '[data]\ntrain = "raw"\nimage_size = 16')).shape[1:] == (16, 16, 3)


def test_raw_files_are_not_touched(tmp_path):
    folder_competition(tmp_path)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "raw").rglob("*")) if path.is_file()}
    cleaned(tmp_path, '[data]\ntrain = "raw"')
    assert {path: path.read_bytes() for path in sorted((tmp_path / "raw").rglob("*")) if path.is_file()} == before


def test_a_row_whose_file_is_missing_is_dropped_with_that_reason(tmp_path):
    kaggle_competition(tmp_path)
    (tmp_path / "raw/train/img_005.png").unlink()
    layout = cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"')
    assert read_csv(layout.dropped) == [{"id": "img_005", "reason": "unreadable", "twin": "", "detail": "no such file"}]


def test_an_empty_group_groups_nothing(tmp_path):
    kaggle_competition(tmp_path)
    rows = [[f"img_{row:03d}", "" if row > 5 else "one", name] for row, name in enumerate(names(36))]
    write_csv(tmp_path / "raw/train.csv", ["image_id", "patient", "label"], rows)
    index = load_index(cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"\ngroup = "patient"'))
    assert len(set(index.groups[:6])) == 1 and len(set(index.groups[6:])) == 30


def test_nothing_readable_is_an_error_with_the_first_reason(tmp_path):
    for name in COLOURS:
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 3 images can be read; 'cat/a\.png': empty file"):
        cleaned(tmp_path, '[data]\ntrain = "raw"\nimage_size = 32')


def test_a_group_of_a_folder_is_refused(tmp_path):
    folder_competition(tmp_path)
    with pytest.raises(ConfigError, match="has no columns"):
        cleaned(tmp_path, '[data]\ntrain = "raw"\ngroup = "patient"')


def test_external_images_that_become_a_validation_split_are_read_anew(tmp_path):
    """Both parts are the same images after those of the training set; what they are for is another thing."""
    folder_competition(tmp_path / "train")
    for number, name in enumerate(sorted(path.name for path in (tmp_path / "train/raw").iterdir() if path.is_dir())):
        (tmp_path / "more" / name).mkdir(parents=True)
        picture("cat", 900 + number, 16).save(tmp_path / "more" / name / "0.png")
    text = '[data]\ntrain = "train/raw"\nimage_size = 16\n'
    layout = cleaned(tmp_path, f'{text}external = "more"\n')
    assert any(name.startswith("external/") for name in (line["id"] for line in read_csv(layout.index)))
    clean(layout, parse(f'{text}validation = "more"\n'), silent)
    ids = [line["id"] for line in read_csv(layout.index)]
    assert any(name.startswith("validation/") for name in ids)
    assert not any(name.startswith("external/") for name in ids)


def test_sizes_stay_known_where_other_images_are_joined(tmp_path):
    folder_competition(tmp_path / "train")
    np.savez(tmp_path / "more.npz", images=np.zeros((3, 16, 16, 3), np.uint8), labels=np.zeros(3, int))
    data = parse('[data]\ntrain = "train/raw"\nimage_size = 16\n').data
    one = open_source(data, tmp_path, "train")
    other = open_source(parse('[data]\ntrain = "more.npz"\n').data, tmp_path, "train")
    both = joined(one, other, "external")
    assert (both.sizes[: len(one.ids)] == one.sizes).all() and not both.sizes[len(one.ids) :].any()
    assert odd_sizes(np.vstack([one.sizes, np.zeros((3, 2), np.int64)]), np.arange(len(one.ids) + 3)) == odd_sizes(
        one.sizes, np.arange(len(one.ids))
    )


def test_two_words_on_one_image_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.arange(40) % 2)
    (tmp_path / "clean_overrides.csv").write_text("id,action\n07,keep\n7,drop\n")
    with pytest.raises(DataError, match="another action"):
        cleaned(tmp_path, '[data]\ntrain = "d.npz"\n')


@pytest.mark.parametrize(
    ("labels", "copies", "reason", "hint"),
    [
        ([0] * 8 + [1] * 12, 12, "12 contamination", "[clean] contamination = false"),
        ([0] * 4 + [1] * 15 + [2], 2, "1 conflicting-label", '[clean] conflicting = "keep"'),
    ],
)
def test_a_class_that_cleaning_empties_is_an_error_with_the_key_that_keeps_it(tmp_path, labels, copies, reason, hint):
    images = np.random.default_rng(0).integers(0, 256, (20, 24, 24, 3), np.uint8)
    images[20 - copies :] = images[-1]
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    with pytest.raises(DataError, match=rf"after cleaning \(dropped: {reason}\)") as caught:
        cleaned(tmp_path, text := '[data]\ntrain = "train.npz"\n')
    assert caught.value.hint == hint and read_csv(Layout(tmp_path).dropped)
    assert load_index(cleaned(tmp_path, text + hint.replace("] ", "]\n"))).classes


def test_a_class_without_images_is_told_with_what_names_it(tmp_path):
    folder_competition(tmp_path)
    (tmp_path / "raw/cow").mkdir()
    with pytest.raises(DataError, match="class 'cow' has no image") as caught:
        cleaned(tmp_path, '[data]\ntrain = "raw"')
    assert "folder" in caught.value.hint
    (tmp_path / "raw/cow").rmdir()
    (tmp_path / "names.txt").write_text("cat\ncow\ndog\nhen\n", encoding="utf-8")
    with pytest.raises(DataError, match="class 'cow' has no image") as caught:
        cleaned(tmp_path, '[data]\ntrain = "raw"\nclasses = "names.txt"')
    assert caught.value.hint == "remove its name from names.txt"


def test_where_only_one_class_is_left_what_was_taken_for_no_label_is_named(tmp_path):
    kaggle_competition(tmp_path)
    table = tmp_path / "raw/train.csv"
    text = table.read_text(encoding="utf-8")
    for name in sorted(set(names(36))):
        text = text.replace(f",{name}", ",EU" if name == "cat" else ",NA")
    table.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="'NA' in column 'label' is no label"):
        cleaned(tmp_path, '[data]\ntrain = "raw/train.csv"')
