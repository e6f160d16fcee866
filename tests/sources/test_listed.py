"""Tables with image files: columns found or named, files found, mistakes told with their line."""

from __future__ import annotations

import numpy as np
import pytest
from competitions import kaggle_competition, names, picture, write_csv
from hypothesis import given
from hypothesis import strategies as st

from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source
from kit.images.sources.classes import sorted_names, to_labels
from kit.images.sources.table import LABEL_NAMES, find_id, find_label
from kit.store.tables import read_table


def opened(root, part="train", **keys):
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return open_source(parse(f"[data]\n{lines}").data, root, part)


def table_of(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def pictures(folder, *files):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture("cat", number).save(folder / name)


@pytest.mark.parametrize("label", LABEL_NAMES)
def test_label_columns_are_found_by_their_usual_names(tmp_path, label):
    table = table_of(tmp_path, f"Image_ID,age,{label.upper()}\na,7,x\n")
    assert find_id(table, "") == "Image_ID"
    assert find_label(table, "", "Image_ID") == label.upper()


def test_with_two_columns_the_other_one_is_the_label(tmp_path):
    assert find_label(table_of(tmp_path, "id,what\na,x\n"), "", "id") == "what"


def test_the_sample_file_decides_which_columns_are_meant(tmp_path):
    table = table_of(tmp_path, "name,id_code,grade,label\na,b,1,2\n")
    sample = table_of(tmp_path, "id_code,grade\nb,0\n", "s.csv")
    assert find_id(table, "", sample) == "id_code" and find_label(table, "", "id_code", sample) == "grade"


def test_columns_of_zeros_and_a_one_are_one_label(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    write_csv(tmp_path / "t.csv", ["image", "sick", "well", "odd"], [["a", 0, 1, 0], ["b", 1, 0, 0], ["c", 0, 0, 1]])
    raw = opened(tmp_path, train="t.csv")
    assert raw.classes == ("sick", "well", "odd") and raw.labels.tolist() == [1, 0, 2]


def test_a_column_that_cannot_be_told_lists_the_columns_and_the_key(tmp_path):
    table = table_of(tmp_path, "a,b,c\n1,2,3\n")
    with pytest.raises(ConfigError, match=r"no column was recognized as the id among a, b, c") as caught:
        find_id(table, "")
    assert caught.value.hint.startswith("[data] id =")
    with pytest.raises(ConfigError, match=r"data\.label = 'x' not found: t\.csv has the columns a, b, c"):
        find_label(table, "x", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("id,label\n", "has no rows"),
        ("id,label,id\n1,2,3\n", "the column 'id' twice"),
        ("id,label\n1,2\n3\n", "row 2 has 1 cells, but the header has 2"),
    ],
)
def test_a_broken_table_is_told(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        table_of(tmp_path, text)


def test_byte_order_mark_semicolons_and_quotes_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffid;label\n"a;1";"x"\n\n'.encode())
    table = read_table(path)
    assert table.header == ("id", "label") and table.rows == (("a;1", "x"),)


def test_other_encodings_are_refused_with_a_command(tmp_path):
    (tmp_path / "t.csv").write_bytes("id,label\né,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8") as caught:
        read_table(tmp_path / "t.csv")
    assert caught.value.hint.startswith("iconv")


def test_files_are_found_with_or_without_suffix_and_in_the_folder_of_the_part(tmp_path):
    pictures(tmp_path / "train", "0.png", "1.JPG")
    pictures(tmp_path / "test", "0.png")
    write_csv(tmp_path / "train.csv", ["id", "label"], [["0", "x"], ["1", "y"]])
    write_csv(tmp_path / "test.csv", ["id"], [["0"]])
    raw = opened(tmp_path, train="train.csv", test="test.csv")
    test = opened(tmp_path, "test", train="train.csv", test="test.csv")
    np.testing.assert_array_equal(raw.all_images()[0], np.asarray(picture("cat", 0)))
    assert raw.ids == ("0", "1") and test.ids == ("0",) and test.labels.tolist() == [-1]


@pytest.mark.parametrize("listed", ["deep/a.png", "deep/a", "./deep/a.png", "deep\\a.png", "a.png", "a"])
def test_a_file_is_found_by_path_or_by_a_name_that_only_it_bears(tmp_path, listed):
    pictures(tmp_path / "images", "deep/a.png", "deep/b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [[listed, "x"], ["b", "y"]])
    assert opened(tmp_path, train="t.csv").all_images().shape == (2, 32, 32, 3)


def test_a_name_that_two_files_bear_is_not_guessed(tmp_path):
    pictures(tmp_path / "images", "one/a.png", "two/a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", "x"], ["b", "y"]])
    assert opened(tmp_path, train="t.csv").read(0, 2)[1] == {0: "no such file"}


def test_no_file_at_all_says_where_it_looked(tmp_path):
    (tmp_path / "images").mkdir()
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", "x"]])
    with pytest.raises(DataError, match="no image file for id 'a' or any other id; searched in") as caught:
        opened(tmp_path, train="t.csv")
    assert caught.value.hint == '[data] images = "folder"'


def test_a_folder_named_in_the_configuration_is_the_only_one_looked_in(tmp_path):
    pictures(tmp_path / "images", "a.png")
    pictures(tmp_path / "elsewhere", "a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", "x"]])
    raw = opened(tmp_path, train="t.csv", images="elsewhere")
    assert raw.read(0, 1)[1] == {}
    with pytest.raises(DataError, match=r"data\.images = 'nowhere': no such folder"):
        opened(tmp_path, train="t.csv", images="nowhere")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["a", "x"], ["a", "y"]], "t.csv line 3: id 'a' already appears in line 2"),
        ([["a", "x"], ["", "y"]], "t.csv line 3 has no id"),
        ([["a", "x"], ["b", ""]], "t.csv line 3 has no label"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_with_its_line(tmp_path, rows, message):
    pictures(tmp_path / "images", "a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], rows)
    with pytest.raises(DataError) as caught:
        opened(tmp_path, train="t.csv")
    assert caught.value.message == message


def test_numbers_are_labels_where_the_names_stand_in_a_file(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", "1"], ["b", "0"]])
    (tmp_path / "names.txt").write_text("basophil\neosinophil\n")
    raw = opened(tmp_path, train="t.csv", classes="names.txt")
    assert raw.classes == ("basophil", "eosinophil") and raw.labels.tolist() == [1, 0]


def test_hidden_images_are_numbered_like_the_training_set_though_a_class_is_missing(tmp_path):
    kaggle_competition(tmp_path)
    pictures(tmp_path / "hidden/hen", "a.png")
    truth = opened(tmp_path, "truth", train="raw/train.csv", truth="hidden")
    assert truth.classes == ("cat", "dog", "hen") and truth.labels.tolist() == [2]


@pytest.mark.parametrize(("weight", "message"), [("-1", "is -1.0"), ("nan", "is nan"), ("much", "not a number")])
def test_weights_are_numbers_of_at_least_zero(tmp_path, weight, message):
    pictures(tmp_path / "images", "a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label", "w"], [["a", "x", weight], ["b", "y", "1"]])
    with pytest.raises(DataError, match=message):
        opened(tmp_path, train="t.csv", weight="w")


def test_changing_labels_groups_or_pixels_changes_the_fingerprint_and_nothing_else_does(tmp_path):
    kaggle_competition(tmp_path)

    def fingerprint(**keys):
        return opened(tmp_path, train="raw/train.csv", **keys).fingerprint

    first = fingerprint()
    assert fingerprint() == first
    assert len({first, fingerprint(group="patient"), fingerprint(weight="trust")}) == 3
    picture("cat", 99).save(tmp_path / "raw/train/img_000.png")
    assert fingerprint() != first


@given(st.lists(st.sampled_from(["ant", "bee", "cow", "10", "9"]), min_size=1))
def test_labels_and_names_are_each_others_inverse(values):
    classes = sorted_names(values)
    labels = to_labels(values, classes, values)
    assert [classes[label] for label in labels] == values


def test_numbers_sort_as_numbers():
    assert sorted_names(["10", "9", "2"]) == ("2", "9", "10")
    assert sorted_names(["10", "9", "b"]) == ("10", "9", "b")


def test_a_class_that_nobody_knows_is_told():
    with pytest.raises(DataError, match="row 1: 'owl' is not a class; the classes are cat, dog"):
        to_labels(["owl"], ("cat", "dog"), ["row 1"])


def test_rows_of_a_table_are_in_its_order(tmp_path):
    kaggle_competition(tmp_path)
    raw = opened(tmp_path, train="raw/train.csv")
    assert [raw.classes[label] for label in raw.labels] == names(36)
    images, problems = raw.read(10, 13)
    assert problems == {}
    np.testing.assert_array_equal(images[1], np.asarray(picture(names(36)[11], 11)))
