"""Tables with image files: columns found or named, files found, mistakes told with their line."""

from __future__ import annotations

import tomllib
import unicodedata

import numpy as np
import pytest
from competitions import all_images, kaggle_competition, names, picture, write_csv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source, training_classes
from kit.images.sources.classes import group_names, sorted_names, to_labels
from kit.images.sources.table import LABEL_NAMES, find_id, find_label
from kit.stages.clean.clean import clean
from kit.store.data import load_index
from kit.store.files import read_csv
from kit.store.layout import Layout
from kit.store.tables import read_table


def opened(root, part="train", **keys):
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return open_source(parse(f"[data]\n{lines}").data, root, part)


def table_of(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def image_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


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


@pytest.mark.parametrize("rows", ["cat,1\ndog,2\ncat,3\n", "a/1.jpg,7,x\na/2.jpg,8,y\n"])
def test_a_table_without_a_header_does_not_lose_its_first_row(tmp_path, rows):
    (tmp_path / "train.csv").write_text(rows)
    with pytest.raises(DataError, match="has no header line"):
        open_source(parse('[data]\ntrain = "train.csv"\n').data, tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "line"), [("t.csv", "{file},{label}"), ("t.tsv", "{label}\t{file}"), ("t.txt", "{file} {label}")]
)
def test_without_a_header_a_column_of_files_is_told_from_the_other(tmp_path, name, line):
    pictures(tmp_path / "train", "1.png", "2.png", "3.png")
    rows = [("train/1.png", 7), ("train/2.png", 5), ("train/3.png", 7)]
    (tmp_path / name).write_text("".join(line.format(file=file, label=label) + "\n" for file, label in rows))
    raw = opened(tmp_path, train=name)
    assert raw.ids == tuple(file for file, _ in rows)
    assert raw.classes == ("5", "7") and raw.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("cells", [["1.png", "2.png", "3.png"], ["1", "2", "3"]])
def test_a_column_of_files_or_the_only_one_without_repetition_is_the_id(tmp_path, cells):
    pictures(tmp_path / "train", "1.png", "2.png", "3.png")
    write_csv(tmp_path / "train.csv", ["Klasse", "Datei"], zip(["a", "b", "a"], cells, strict=True))
    raw = opened(tmp_path, train="train.csv")
    assert raw.ids == tuple(cells) and raw.classes == ("a", "b")


@pytest.mark.parametrize("above", ["/kaggle/input/blood/", "C:\\Users\\ann\\blood\\", "../input/"])
def test_what_follows_the_folders_of_another_machine_is_found(tmp_path, above):
    files = ("images/a/1.png", "images/b/1.png", "images/b/c/2.png")
    pictures(tmp_path, *files, "test/a/1.png")
    rows = [(above + file.replace("/", "\\" if "\\" in above else "/"), "xyx"[row]) for row, file in enumerate(files)]
    write_csv(tmp_path / "train.csv", ["path", "label"], rows)
    raw = opened(tmp_path, train="train.csv")
    for row, file in enumerate(files):
        np.testing.assert_array_equal(raw.read(row, row + 1)[0][0], image_of(tmp_path / file))


@pytest.mark.parametrize(("cells", "classes"), [("-1 1 1 -1", ("-1", "1")), ("-1 0 1 1", ("0", "1"))])
def test_minus_one_is_a_class_only_where_the_other_one_is_one(tmp_path, cells, classes):
    pictures(tmp_path / "train", "1.png", "2.png", "3.png", "4.png")
    write_csv(tmp_path / "train.csv", ["image", "label"], zip("1234", cells.split(), strict=True))
    labels = opened(tmp_path, train="train.csv").labels.tolist()
    assert labels == [classes.index(cell) if cell in classes else -1 for cell in cells.split()]
    assert training_classes(parse('[data]\ntrain = "train.csv"\n').data, tmp_path) == classes
    np.savez(tmp_path / "t.npz", images=np.zeros((4, 4, 4, 3), np.uint8), labels=[*map(float, cells.split())])
    raw = opened(tmp_path, train="t.npz")
    assert (raw.labels.tolist(), raw.classes) == (labels, classes)


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
    np.testing.assert_array_equal(all_images(raw)[0], np.asarray(picture("cat", 0)))
    assert raw.ids == ("0", "1") and test.ids == ("0",) and test.labels.tolist() == [-1]


@pytest.mark.parametrize("listed", ["deep/a.png", "deep/a", "./deep/a.png", "deep\\a.png", "a.png", "a"])
def test_a_file_is_found_by_path_or_by_a_name_that_only_it_bears(tmp_path, listed):
    pictures(tmp_path / "images", "deep/a.png", "deep/b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [[listed, "x"], ["b", "y"]])
    assert all_images(opened(tmp_path, train="t.csv")).shape == (2, 32, 32, 3)


def test_a_name_that_two_files_bear_is_not_guessed(tmp_path):
    pictures(tmp_path / "images", "one/a.png", "two/a.png", "b.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", "x"], ["b", "y"]])
    assert opened(tmp_path, train="t.csv").read(0, 2)[1] == {0: "no such file"}


def test_a_photo_and_its_mask_of_one_name_are_not_guessed(tmp_path):
    pictures(tmp_path / "images", "a.png", "a.jpg", "b.png")
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
        (
            [["a", "x"], ["b", "x y"], ["c", "y"]],
            "t.csv line 3: 'x y' is several labels (x, y), but the task is one class an image",
        ),
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


@pytest.mark.parametrize(
    "cells",
    [["x", "y", "x y"], ["x", "y", "y, x"], ["x;y", "y;z", "z;x"], ["['x']", "['y']", "['x', 'y']"], ["0", "1", "0 1"],
     ["x|y", "x", "y"]],
)  # fmt: skip
def test_several_labels_in_a_cell_are_told_from_the_names_of_the_classes(tmp_path, cells):
    pictures(tmp_path / "images", *(f"{row}.png" for row in range(len(cells))))
    rows = [[str(row), cell] for row, cell in enumerate(cells)]
    write_csv(tmp_path / "t.csv", ["id", "label"], rows)
    with pytest.raises(DataError, match="is several labels") as caught:
        opened(tmp_path, train="t.csv")
    assert "\n" not in caught.value.message and len(caught.value.message) < 300
    (tmp_path / "names.txt").write_text("\n".join(cells))
    assert opened(tmp_path, train="t.csv", classes="names.txt").labels.tolist() == list(range(len(cells)))


@pytest.mark.parametrize("cells", [["red fox", "red deer"], ["a, b", "c, d"], ["apple", "apple tree"], ["1.5", "2.5"]])
def test_names_of_several_words_are_one_label(tmp_path, cells):
    pictures(tmp_path / "images", "0.png", "1.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [[str(row), cell] for row, cell in enumerate(cells)])
    assert set(opened(tmp_path, train="t.csv").classes) == set(cells)


@pytest.mark.parametrize("column", ["tags", "kind"])
def test_words_that_combine_are_lists_only_in_a_column_of_lists(tmp_path, column):
    cells = ["clear primary", "haze primary", "clear water", "haze primary water", "clear primary water"]
    pictures(tmp_path / "images", *(f"{row}.png" for row in range(len(cells))))
    write_csv(tmp_path / "t.csv", ["id", column], [[str(row), cell] for row, cell in enumerate(cells)])
    if column == "kind":
        assert set(opened(tmp_path, train="t.csv").classes) == set(cells)
    else:
        with pytest.raises(DataError, match="is several labels"):
            opened(tmp_path, train="t.csv")


@pytest.mark.parametrize("missing", ["", "nan", "NaN", "None", "<NA>", "-1", "-1.0"])
@pytest.mark.parametrize("names", [("1", "2"), ("1.0", "2.0"), ("cat", "dog")])
def test_a_row_without_a_label_is_unlabelled_and_no_class(tmp_path, missing, names):
    pictures(tmp_path / "images", "a.png", "b.png", "c.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["a", names[0]], ["b", missing], ["c", names[1]]])
    raw = opened(tmp_path, train="t.csv")
    assert raw.labels.tolist() == [0, -1, 1] and raw.classes == tuple(name.removesuffix(".0") for name in names)
    assert bool(raw.notes) == bool(missing)
    (tmp_path / "names.txt").write_text(f"{names[0]}\n{missing or 'other'}\n{names[1]}\n")
    named = opened(tmp_path, train="t.csv", classes="names.txt")
    assert named.labels.tolist() == [0, 1 if missing else -1, 2]


def test_unlabelled_rows_are_dropped_by_cleaning_with_a_count(tmp_path):
    pictures(tmp_path / "images", *(f"{row}.png" for row in range(8)))
    write_csv(tmp_path / "t.csv", ["id", "label"], [[str(row), ["x", "y", "", "-1"][row % 4]] for row in range(8)])
    layout, said = Layout(tmp_path), []
    clean(layout, parse('[data]\ntrain = "t.csv"'), said.append)
    assert {row["id"]: row["reason"] for row in read_csv(layout.dropped)} == dict.fromkeys("2367", "unlabelled")
    assert set(load_index(layout).labels.tolist()) == {0, 1}
    assert any("4 of 8 rows have no label" in event.text for event in said)


def test_columns_of_true_and_false_are_one_label_and_a_row_of_false_is_unlabelled(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    rows = [["a", False, True, False, 7], ["b", True, False, False, 8], ["c", False, False, False, 9]]
    write_csv(tmp_path / "t.csv", ["image", "sick", "well", "odd", "age"], rows)
    raw = opened(tmp_path, train="t.csv")
    assert raw.classes == ("sick", "well") and raw.labels.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("no", "yes"),
    [("no", "Yes"), ("F", "T"), ("", "x"), ("0.00", "1.00"), ("0.000e+00", "1.000e+00"), ("-1", "1"), ("-1.0", "1.0")],
)
def test_columns_of_one_class_each_are_told_by_any_words_for_no_and_yes(tmp_path, no, yes):
    pictures(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    rows = [[name, *(yes if place == row else no for place in range(3))] for row, name in enumerate("abc")]
    write_csv(tmp_path / "t.csv", ["image", "cat", "dog", "hen"], rows)
    raw = opened(tmp_path, train="t.csv")
    assert raw.classes == ("cat", "dog", "hen") and raw.labels.tolist() == [0, 1, 2]


def test_minus_one_beside_zero_is_no_answer(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg", "c.jpg")
    write_csv(tmp_path / "t.csv", ["image", "cat", "dog"], [["a", 1, 0], ["b", 0, 1], ["c", -1, 0]])
    with pytest.raises(ConfigError, match="no column was recognized as the label"):
        opened(tmp_path, train="t.csv")


@pytest.mark.parametrize("label", ["Finding Labels", "cell_class", "final-diagnosis", "ClassId"])
def test_columns_whose_names_end_like_those_of_labels_and_ids_are_found(tmp_path, label):
    table = table_of(tmp_path, f"age,patient_id,isic_id,{label},sex\n7,p1,a,x,f\n7,p2,b,y,f\n7,p3,c,x,m\n")
    assert find_id(table, "") == "isic_id" and find_label(table, "", "isic_id") == label


def test_the_column_of_ids_is_no_label(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg")
    write_csv(tmp_path / "t.csv", ["image", "label"], [["a", "x"], ["b", "y"]])
    with pytest.raises(ConfigError, match=r"data\.label = 'image' is the column of the ids"):
        opened(tmp_path, train="t.csv", label="image")


def test_a_file_of_classes_without_a_name_is_refused(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg")
    write_csv(tmp_path / "t.csv", ["image", "label"], [["a", "x"], ["b", "y"]])
    (tmp_path / "c.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"c\.txt has no names of classes"):
        opened(tmp_path, train="t.csv", classes="c.txt")


def test_two_columns_that_name_other_files_are_not_guessed(tmp_path):
    pictures(tmp_path / "images", *(f"{row}.png" for row in range(4)))
    write_csv(tmp_path / "t.csv", ["id", "image", "label"], [[row, 3 - row, "xy"[row % 2]] for row in range(4)])
    with pytest.raises(ConfigError, match="the columns 'id' and 'image' name other files") as caught:
        opened(tmp_path, train="t.csv")
    raw = opened(tmp_path, train="t.csv", **tomllib.loads(caught.value.hint.removeprefix("[data] ")))
    assert raw.ids == ("3", "2", "1", "0") and raw.labels.tolist() == [0, 1, 0, 1]
    assert np.array_equal(all_images(raw)[0], image_of(tmp_path / "images/3.png"))


@pytest.mark.parametrize(("column", "parts"), [("split", ["train", "val"]), ("is_training_image", ["1", "0"])])
def test_a_column_that_divides_the_rows_into_parts_is_told(tmp_path, column, parts):
    pictures(tmp_path / "images", "a.jpg", "b.jpg")
    write_csv(tmp_path / "t.csv", ["image", "label", column], [["a", "x", parts[0]], ["b", "y", parts[1]]])
    assert any(f"column {column!r} divides the rows" in note for note in opened(tmp_path, train="t.csv").notes)
    write_csv(tmp_path / "t.csv", ["image", "label", column], [["a", "x", "red"], ["b", "y", "blue"]])
    assert not opened(tmp_path, train="t.csv").notes


def test_columns_of_the_sample_are_the_classes_and_one_without_images_is_told(tmp_path):
    pictures(tmp_path / "images", "a.jpg", "b.jpg")
    write_csv(tmp_path / "t.csv", ["image", "flag", "sick", "well", "odd"], [["a", 1, 0, 1, 0], ["b", 1, 1, 0, 0]])
    write_csv(tmp_path / "s.csv", ["image", "sick", "odd", "well"], [["x", 0, 0, 0]])
    raw = opened(tmp_path, train="t.csv", sample_submission="s.csv")
    assert raw.classes == ("sick", "well") and raw.labels.tolist() == [1, 0] and "no image of odd" in raw.notes[0]
    assert training_classes(parse('[data]\ntrain = "t.csv"\nsample_submission = "s.csv"').data, tmp_path) == raw.classes
    write_csv(tmp_path / "t.csv", ["image", "sick", "well", "odd"], [["a", 0, 1, 0], ["b", 1, 1, 0]])
    with pytest.raises(DataError, match=r"t\.csv line 3 has several labels \(sick, well\)"):
        opened(tmp_path, train="t.csv", sample_submission="s.csv")


def test_images_of_one_object_that_would_be_divided_among_folds_are_told(tmp_path):
    files = [f"{row}.png" for row in range(24)]
    pictures(tmp_path / "images", *files)
    rows = [[file, "xy"[row % 2], row // 2] for row, file in enumerate(files)]
    write_csv(tmp_path / "t.csv", ["id", "label", "Patient ID"], rows)
    (note,) = opened(tmp_path, train="t.csv").notes
    group = tomllib.loads(note.partition("[data] ")[2])["group"]
    assert group == "Patient ID" and not opened(tmp_path, train="t.csv", group=group).notes


def test_a_group_is_one_group_as_a_whole_number_a_float_and_in_both_unicode_forms():
    assert group_names(["7", "7.0", "007", 7.0, "7e+00"]) == ("7",) * 5
    assert group_names(["Zo\u00eb", "Zoe\u0308 "]) == ("Zo\u00eb",) * 2
    assert group_names(["7.5", "P7", "p7", "nan"]) == ("7.5", "P7", "p7", "")


def test_values_that_stand_for_a_missing_group_group_nothing(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png", "c.png")
    write_csv(tmp_path / "t.csv", ["id", "label", "who"], [["a", "x", "nan"], ["b", "y", "p"], ["c", "x", "None"]])
    assert opened(tmp_path, train="t.csv", group="who").groups == ("", "p", "")
    write_csv(tmp_path / "t.csv", ["id", "label", "who"], [["a", "x", "Unknown"], ["b", "y", "-1"], ["c", "x", "?"]])
    assert opened(tmp_path, train="t.csv", group="who").groups == ("", "", "")


def test_a_group_is_one_however_its_number_is_written(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png", "c.png")
    write_csv(tmp_path / "t.csv", ["id", "label", "who"], [["a", "x", "7"], ["b", "y", "7.0"], ["c", "x", "70"]])
    assert opened(tmp_path, train="t.csv", group="who").groups == ("7", "7", "70")


@pytest.mark.parametrize(
    ("listed", "file"),
    [("1.jpg", "1.JPG"), ("1", "0001.png"), ("0001.jpg", "1.jpg"), ("a.b.1", "a.b.1.png"), ("A", "a.png"),
     (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
     (unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é.png")),
     ("C:\\data\\pics\\1.png", "1.png"), ("/home/else/train/1.png", "deep/1.png")],
)  # fmt: skip
def test_a_file_is_found_in_the_forms_that_tools_give_its_name(tmp_path, listed, file):
    pictures(tmp_path / "images", file)
    write_csv(tmp_path / "t.csv", ["id", "label"], [[listed, "x"]])
    assert opened(tmp_path, train="t.csv").read(0, 1)[1] == {}


def test_a_file_is_given_to_the_id_that_is_most_like_its_name(tmp_path):
    pictures(tmp_path / "images", "007.png", "a.png", "A.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["7", "x"], ["007", "y"], ["a", "x"], ["A", "y"], ["b.1", "x"]])
    raw = opened(tmp_path, train="t.csv")
    assert set(raw.read(0, 5)[1]) == {0, 4}
    np.testing.assert_array_equal(raw.read(3, 4)[0][0], np.asarray(picture("cat", 2)))


def test_a_path_that_exists_is_taken(tmp_path):
    pictures(tmp_path / "raw/one", "a.png")
    pictures(tmp_path / "raw/t", "a.png", "b.png")
    pictures(tmp_path / "far", "b.png", "c.png")
    rows = [["one/a.png", "x"], [str(tmp_path / "far/b.png"), "y"], ["far/c.png", "x"]]
    write_csv(tmp_path / "raw/t.csv", ["path", "label"], rows)
    raw = opened(tmp_path, train="raw/t.csv")
    assert raw.read(0, 3)[1] == {}
    np.testing.assert_array_equal(raw.read(1, 2)[0][0], np.asarray(picture("cat", 0)))


@pytest.mark.parametrize("folder", ["test", "test_images", "Stage1-Test", "hidden"])
def test_no_image_is_taken_from_the_folder_of_another_part(tmp_path, folder):
    pictures(tmp_path / "pictures", "0.png")
    pictures(tmp_path / folder, "0.png", "1.png", "2.png")
    write_csv(tmp_path / "t.csv", ["id", "label"], [["0", "x"], ["1", "y"], [f"{folder}/2.png", "x"]])
    raw = opened(tmp_path, train="t.csv", test=folder)
    assert raw.read(0, 3)[1] == {1: "no such file"}  # the last is named with its folder
    pictures(tmp_path / "train_images", "7.png")
    write_csv(tmp_path / "u.csv", ["id"], [["7"]])
    with pytest.raises(DataError, match="no image file for id '7'"):
        opened(tmp_path, "test", train="t.csv", test="u.csv")


def test_another_column_names_the_files_where_the_first_does_not(tmp_path):
    pictures(tmp_path / "images", "10.png", "11.png", "0.png")
    write_csv(tmp_path / "t.csv", ["id", "label", "filename"], [["0", "x", "10.png"], ["1", "y", "11.png"]])
    raw = opened(tmp_path, train="t.csv")
    assert raw.ids == ("0", "1") and raw.read(0, 2)[1] == {}
    np.testing.assert_array_equal(raw.read(0, 1)[0][0], np.asarray(picture("cat", 0)))
    write_csv(tmp_path / "t.csv", ["id", "label", "img"], [["7", "x", "10"], ["7", "y", "11"]])
    assert opened(tmp_path, train="t.csv").ids == ("10", "11")


def test_numbers_sort_as_numbers():
    assert sorted_names(["10", "9", "2"]) == ("2", "9", "10")
    assert sorted_names(["10.0", "9", "2.0", "2"]) == ("2", "9", "10")
    assert sorted_names(["10.0", "2.5", "9"]) == ("2.5", "9", "10.0")
    assert sorted_names(["02", "10", "01"]) == ("01", "02", "10")
    assert sorted_names(["1.000e+01", "9", "2.0", "2e+00"]) == ("2", "9", "10")
    assert sorted_names(["1e5", "2e5"]) == ("1e5", "2e5")  # no tool writes a number so; ids are such
    assert sorted_names(["1.5e+00", "1e+00"]) == ("1e+00", "1.5e+00")
    assert sorted_names(["10", "9", "b"]) == ("10", "9", "b")


def test_a_number_is_a_place_in_names_and_never_in_numbers():
    assert to_labels(["1", "0.0"], ("cat", "dog"), ["", ""]).tolist() == [1, 0]
    assert to_labels(["1", "2.0", "3"], ("1", "2", "3"), ["", "", ""]).tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="'0' is not a class; the classes are 1, 2, 3"):
        to_labels(["0", "1"], ("1", "2", "3"), ["row 1", "row 2"])


def test_exact_names_go_before_others():
    assert to_labels(["a", "A", "B", unicodedata.normalize("NFD", "É")], ("A", "a", "b", "é"), [""] * 4).tolist() == [
        1, 0, 2, 3,
    ]  # fmt: skip


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
