"""Images listed or held in other forms: JSON, Parquet, tables of pixels; each gives what the plain form gives."""

from __future__ import annotations

import io
import json
import sys
from itertools import pairwise

import numpy as np
import pytest
from competitions import all_images, names, picture, write_csv

from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source, training_classes
from kit.images.sources.forms import Groups
from kit.images.sources.pixel_table import is_pixel_table
from kit.runtime import decode

N = 12
LABELS = names(N)


@pytest.fixture
def plain(tmp_path):
    """Pictures with a table beside them, and what it gives."""
    (tmp_path / "images").mkdir()
    for row, name in enumerate(LABELS):
        picture(name, row, 16).save(tmp_path / f"images/{row}.png")
    write_csv(tmp_path / "plain.csv", ["file_name", "label"], [[f"{row}.png", name] for row, name in enumerate(LABELS)])
    return opened(tmp_path, "plain.csv")


def opened(root, file, part="train", text=""):
    other = "" if part == "train" else f'{part} = "{file}"\n'
    train = file if part == "train" else "plain.csv"
    return open_source(parse(f'[data]\ntrain = "{train}"\n{other}{text}').data, root, part)


def assert_equal(raw, plain):
    np.testing.assert_array_equal(all_images(raw), all_images(plain))
    assert [raw.classes[label] for label in raw.labels] == [plain.classes[label] for label in plain.labels]


def coco() -> dict:
    categories = [{"id": 7, "name": "hen"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}]
    of = {category["name"]: category["id"] for category in categories}
    images = [{"id": 100 + row, "file_name": f"{row}.png", "location": row // 3, "size": [1, 2]} for row in range(N)]
    boxes = [{"id": row, "image_id": 100 + row % N, "category_id": of[LABELS[row % N]]} for row in range(N + 5)]
    return {"images": images, "categories": categories, "annotations": boxes}


def write(path, content) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_a_table_with_tabs_is_a_table(tmp_path, plain):
    write(tmp_path / "t.tsv", (tmp_path / "plain.csv").read_text().replace(",", "\t"))
    assert_equal(opened(tmp_path, "t.tsv"), plain)


def test_coco_annotations_are_labels_and_the_rest_of_an_image_is_columns(tmp_path, plain):
    write(tmp_path / "t.json", coco())
    raw = opened(tmp_path, "t.json", text='group = "location"')
    assert_equal(raw, plain)
    assert raw.groups == tuple(str(row // 3) for row in range(N))


def test_a_test_set_of_coco_has_images_alone(tmp_path, plain):
    write(tmp_path / "t.json", {"images": coco()["images"]})
    raw = opened(tmp_path, "t.json", "test")
    np.testing.assert_array_equal(all_images(raw), all_images(plain))
    assert set(raw.labels.tolist()) == {-1}


@pytest.mark.parametrize(("kind", "lines"), [("json", False), ("json", True), ("jsonl", True)])
def test_records_are_rows(tmp_path, plain, kind, lines):
    records = [{"file_name": f"{row}.png", "label": name} for row, name in enumerate(LABELS)]
    write(tmp_path / f"t.{kind}", "\n".join(map(json.dumps, records)) + "\n" if lines else records)
    assert_equal(opened(tmp_path, f"t.{kind}"), plain)


def test_a_mapping_of_files_to_classes_is_a_table(tmp_path, plain):
    write(tmp_path / "t.json", {f"{row}.png": name for row, name in enumerate(LABELS)})
    assert_equal(opened(tmp_path, "t.json"), plain)


@pytest.mark.parametrize(("kind", "place"), [("json", "row 2"), ("jsonl", "line 3")])
def test_a_record_is_told_by_what_is_known_of_its_place(tmp_path, plain, kind, place):
    records = [{"file_name": "0.png", "label": "a\u2028b"}, {"file_name": "0.png", "label": "cat"}]
    text = "\n\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    write(tmp_path / f"t.{kind}", records if kind == "json" else text)
    with pytest.raises(DataError, match=rf"t\.{kind} {place}: id '0.png' already appears in"):
        opened(tmp_path, f"t.{kind}")


def test_several_categories_in_one_image_are_several_labels(tmp_path, plain):
    content = coco()
    content["annotations"].append({"id": 99, "image_id": "100", "category_id": "90"})
    write(tmp_path / "t.json", content)
    with pytest.raises(DataError, match=r"is several labels \(cat, dog\)") as caught:
        opened(tmp_path, "t.json")
    assert 'task = "multilabel"' in caught.value.hint
    raw = opened(tmp_path, "t.json", text='[competition]\ntask = "multilabel"\nmetric = "auc"')
    expected = [
        [name == label or (row == 0 and name == "dog") for name in raw.classes] for row, label in enumerate(LABELS)
    ]
    assert raw.truth.tolist() == expected and raw.classes == ("cat", "dog", "hen")


@pytest.mark.parametrize("second", [["tabby, red"], ["tabby, red", "cat"]])
def test_a_list_in_a_record_is_its_labels_whatever_their_names_contain(tmp_path, plain, second):
    write(tmp_path / "t.json", [{"file_name": "0.png", "tags": ["cat"]}, {"file_name": "1.png", "tags": second}])
    if len(second) == 1:
        assert opened(tmp_path, "t.json").classes == ("cat", "tabby, red")
    else:
        with pytest.raises(DataError, match="several labels"):
            opened(tmp_path, "t.json")
        raw = opened(tmp_path, "t.json", text='[competition]\ntask = "multilabel"\nmetric = "auc"')
        assert raw.classes == ("cat", "tabby, red") and raw.truth.tolist() == [[1, 0], [1, 1]]


WRONG = {
    "text": "hello",
    "a number": "5",
    "nothing": "[]",
    "no images": {"categories": []},
    "an unknown category": {**coco(), "categories": []},
    "records that are no records": [1, 2],
    "depth": "[" * 100_000,
    "a wrong line": '{"images": 5}',
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_list_of_images_is_told(tmp_path, plain, case):
    write(tmp_path / "t.json", WRONG[case])
    with pytest.raises(DataError) as caught:
        opened(tmp_path, "t.json")
    assert len(caught.value.message) < 500 and "\n" not in caught.value.message


# Parquet


def shards(root, count=1, **columns):
    arrow = pytest.importorskip("pyarrow", reason="pip install 'kit[parquet]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    classes = {"label": {"names": ["hen", "cat", "dog"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": classes}}).encode()}
    bounds = np.linspace(0, N, count + 1).astype(int)
    for number, (start, stop) in enumerate(pairwise(bounds)):
        table = arrow.table({name: values[start:stop] for name, values in columns.items()})
        name = f"train-{number:05d}-of-{count:05d}.parquet" if count > 1 else "t.parquet"
        parquet.write_table(table.replace_schema_metadata(metadata), root / name, row_group_size=3)


def files(root) -> list[bytes]:
    return [(root / f"images/{row}.png").read_bytes() for row in range(N)]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("paths", [True, False])
def test_images_as_the_hub_stores_them_are_read(tmp_path, plain, count, paths):
    cells = [{"bytes": data, "path": f"{row}.png" if paths else None} for row, data in enumerate(files(tmp_path))]
    shards(tmp_path, count, image=cells, label=[["hen", "cat", "dog"].index(name) for name in LABELS])
    raw = opened(tmp_path, "train-00001-of-00003.parquet" if count == 3 else "t.parquet")
    assert_equal(raw, plain)
    assert raw.ids == (plain.ids if paths else tuple(f"{row:02d}" for row in range(N)))
    part, problems = raw.read(5, 7)
    np.testing.assert_array_equal(part, all_images(plain)[5:7])
    assert problems == {}


def test_a_file_that_is_written_anew_is_read_anew(tmp_path, plain):
    contents = files(tmp_path)
    for cells in (contents, contents[::-1]):
        shards(tmp_path, 1, image=cells, label=LABELS)
        np.testing.assert_array_equal(all_images(opened(tmp_path, "t.parquet"))[0], decode.decode(cells[0]))


def test_of_large_groups_of_rows_only_the_newest_is_kept(tmp_path, plain, monkeypatch):
    shards(tmp_path, 1, image=files(tmp_path), label=LABELS)
    groups = Groups()
    assert [groups.image(tmp_path / "t.parquet", "image", row // 3, row % 3) for row in range(N)] == files(tmp_path)
    assert len(groups.kept) == N // 3
    monkeypatch.setattr("kit.images.sources.forms.KEPT", 1)
    groups = Groups()
    assert [groups.image(tmp_path / "t.parquet", "image", row // 3, row % 3) for row in range(N)] == files(tmp_path)
    assert len(groups.kept) == 1


def test_paths_that_two_shards_share_are_no_ids(tmp_path, plain):
    cells = [{"bytes": data, "path": f"{row % 6}.png"} for row, data in enumerate(files(tmp_path))]
    shards(tmp_path, 2, image=cells, label=LABELS)
    raw = opened(tmp_path, "train-00000-of-00002.parquet")
    assert_equal(raw, plain)
    assert raw.ids == tuple(f"{row:02d}" for row in range(N))


def test_bytes_alone_are_images_and_a_column_of_ids_names_them(tmp_path, plain):
    shards(tmp_path, 1, image_id=[f"id {row}" for row in range(N)], photo=files(tmp_path), species=LABELS)
    raw = opened(tmp_path, "t.parquet")
    assert_equal(raw, plain)
    assert raw.ids[3] == "id 3"


def test_a_parquet_table_without_images_names_their_files(tmp_path, plain):
    shards(tmp_path, 1, file_name=[f"{row}.png" for row in range(N)], label=LABELS)
    assert_equal(opened(tmp_path, "t.parquet"), plain)


def test_an_image_that_is_damaged_is_a_problem_of_its_row(tmp_path, plain):
    cells = [data if row != 4 else b"text" for row, data in enumerate(files(tmp_path))]
    cells[5] = None
    shards(tmp_path, 1, image=cells, label=LABELS)
    assert set(opened(tmp_path, "t.parquet").read(0, N)[1]) == {4, 5}


def test_a_hidden_label_of_the_hub_is_none(tmp_path, plain):
    shards(tmp_path, 1, image=files(tmp_path), label=[-1] * N)
    assert set(opened(tmp_path, "t.parquet", "test").labels.tolist()) == {-1}


def test_a_folder_of_shards_is_one_set_and_of_two_sets_none(tmp_path, plain):
    cells = [{"bytes": data, "path": f"{row}.png"} for row, data in enumerate(files(tmp_path))]
    shards(tmp_path, 3, image=cells, label=[["hen", "cat", "dog"].index(name) for name in LABELS])
    names = sorted(path.name for path in tmp_path.glob("*.parquet"))
    (tmp_path / "hub").mkdir()
    for name in names:
        (tmp_path / name).rename(tmp_path / "hub" / name)
    assert_equal(opened(tmp_path, "hub"), plain)
    (tmp_path / "hub" / names[0]).rename(tmp_path / "hub/test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="several sets: test-, train-") as caught:
        opened(tmp_path, "hub")
    assert names[1] in caught.value.hint


def test_a_missing_shard_is_named(tmp_path, plain):
    shards(tmp_path, 3, image=files(tmp_path), label=LABELS)
    (tmp_path / "train-00002-of-00003.parquet").unlink()
    with pytest.raises(DataError, match=r"1 are missing, such as train-00002-of-00003\.parquet"):
        opened(tmp_path, "train-00000-of-00003.parquet")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"id,label\n"])
def test_a_damaged_parquet_file_is_told(tmp_path, plain, damage):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(damage)
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path, "t.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path, plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="needs pyarrow") as caught:
        opened(tmp_path, "t.parquet")
    assert caught.value.hint == "pip install 'kit[parquet]'"


# Tables of pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (N, 8, 8), dtype=np.uint8)
HEADERS = {
    "the digit recogniser": ["label", *(f"pixel{place}" for place in range(64))],
    "rows and columns": ["label", *(f"{row}x{column}" for row in range(1, 9) for column in range(1, 9))],
    "numbers": ["label", *map(str, range(64))],
    "none": [],
}


def pixel_text(header, rows) -> str:
    out = io.StringIO()
    for line in [header, *rows] if header else rows:
        out.write(",".join(map(str, line)) + "\n")
    return out.getvalue()


@pytest.mark.parametrize("header", HEADERS)
def test_a_table_of_pixels_is_an_array(tmp_path, header):
    rows = [[row % 3 + 1, *PIXELS[row].ravel()] for row in range(N)]
    write(tmp_path / "t.csv", pixel_text(HEADERS[header], rows))
    raw = opened(tmp_path, "t.csv")
    np.testing.assert_array_equal(all_images(raw), PIXELS[..., None].repeat(3, -1))
    assert raw.classes == ("1", "2", "3") and raw.labels.tolist() == [row % 3 for row in range(N)]


def test_colours_and_a_label_at_the_end_as_text_are_read(tmp_path):
    images = np.stack([np.asarray(picture(name, row, 8)) for row, name in enumerate(LABELS)])
    header = [*(f"pixel{place:04d}" for place in range(192)), "label"]
    write(tmp_path / "t.csv", pixel_text(header, [[*images[row].ravel(), LABELS[row]] for row in range(N)]))
    raw = opened(tmp_path, "t.csv")
    np.testing.assert_array_equal(all_images(raw), images)
    assert [raw.classes[label] for label in raw.labels] == LABELS


@pytest.mark.parametrize(("no", "yes"), [("0", "1"), ("False", "True")])
def test_columns_one_a_class_beside_pixels_are_read_as_those_beside_files(tmp_path, no, yes):
    kinds = ("cat", "dog", "hen")
    rows = [[*(yes if row % 3 == kind else no for kind in range(3)), *PIXELS[row].ravel()] for row in range(N)]
    rows[4][:3] = [no] * 3
    header = [*kinds, *HEADERS["numbers"][1:]]
    write(tmp_path / "t.csv", pixel_text(header, rows))
    raw = opened(tmp_path, "t.csv")
    assert raw.classes == kinds and raw.labels.tolist() == [-1 if row == 4 else row % 3 for row in range(N)]
    rows[5][:2] = [yes] * 2
    write(tmp_path / "t.csv", pixel_text(header, rows))
    with pytest.raises(DataError, match=r"row 6 has several labels \(cat, dog, hen\)"):
        opened(tmp_path, "t.csv")


@pytest.mark.parametrize("names", [("id", "age"), ("age",), ("age", "image_id")])
def test_numbers_beside_pixels_are_numbers(tmp_path, names):
    ages = [1.5 * row for row in range(N)]
    told = {"age": ages, "id": [f"n{row}" for row in range(N)], "image_id": [f"n{row}" for row in range(N)]}
    rows = [[*(told[name][row] for name in names), *PIXELS[row].ravel()] for row in range(N)]
    rows[3][names.index("age")] = ""
    write(tmp_path / "t.csv", pixel_text([*names, *(f"pixel{place}" for place in range(64))], rows))
    data = parse('[competition]\ntask = "regression"\nmetric = "rmse"\n[data]\ntrain = "t.csv"').data
    raw = open_source(data, tmp_path, "train")
    assert raw.targets is not None and raw.task.kind == "numbers" and raw.labels[3] == -1
    np.testing.assert_allclose(np.delete(raw.targets, 3), np.delete(ages, 3))
    assert training_classes(data, tmp_path) == raw.classes


@pytest.mark.parametrize(("task", "no", "yes"), [("multilabel", "0", "1"), ("soft", "0", "3")])
def test_columns_beside_pixels_are_several_labels_or_votes(tmp_path, task, no, yes):
    flags = np.array([[row % 2, row // 2 % 2, 1] for row in range(N)])
    rows = [[*(yes if flag else no for flag in flags[row]), *PIXELS[row].ravel()] for row in range(N)]
    write(tmp_path / "t.csv", pixel_text(["cat", "dog", "hen", *HEADERS["numbers"][1:]], rows))
    metric = "macro_f1" if task == "multilabel" else "kl"
    data = parse(f'[competition]\ntask = "{task}"\nmetric = "{metric}"\n[data]\ntrain = "t.csv"').data
    raw = open_source(data, tmp_path, "train")
    expected = flags if task == "multilabel" else flags / flags.sum(axis=1, keepdims=True)
    assert raw.classes == ("cat", "dog", "hen")
    np.testing.assert_allclose(raw.targets, expected)


def test_groups_and_weights_beside_pixels_are_read_as_those_beside_files(tmp_path):
    patients, weights = [f"p{row // 2}" for row in range(N)], [1 + row / 2 for row in range(N)]
    rows = [[row % 3, patients[row], weights[row], *PIXELS[row].ravel()] for row in range(N)]
    write(tmp_path / "t.csv", pixel_text(["label", "patient", "w", *HEADERS["numbers"][1:]], rows))
    raw = opened(tmp_path, "t.csv", text='group = "patient"\nweight = "w"')
    assert raw.groups == tuple(patients) and raw.weights is not None and raw.weights.tolist() == weights
    with pytest.raises(ConfigError, match="lesion"):
        opened(tmp_path, "t.csv", text='group = "lesion"')


def test_a_table_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        is_pixel_table(tmp_path)


def test_classes_that_are_numbers_are_no_pixels(tmp_path, plain):
    header = ["file_name", *map(str, range(16))]
    rows = [[f"{row}.png", *(int(row == label) for label in range(16))] for row in range(N)]
    write_csv(tmp_path / "t.csv", header, rows)
    assert opened(tmp_path, "t.csv").ids == plain.ids


def test_the_test_table_has_the_ids_of_the_sample_file(tmp_path):
    write(tmp_path / "t.csv", pixel_text(HEADERS["the digit recogniser"], [[0, *image.ravel()] for image in PIXELS]))
    write(tmp_path / "test.csv", pixel_text(HEADERS["the digit recogniser"][1:], [image.ravel() for image in PIXELS]))
    write_csv(tmp_path / "sample.csv", ["ImageId", "Label"], [[row + 1, 0] for row in range(N)])
    data = parse('[data]\ntrain = "t.csv"\ntest = "test.csv"\nsample_submission = "sample.csv"').data
    test = open_source(data, tmp_path, "test")
    assert test.ids == tuple(str(row + 1) for row in range(N))
    np.testing.assert_array_equal(all_images(test)[..., 0], PIXELS)


def test_a_column_of_ids_goes_before_the_order_of_the_sample_file(tmp_path):
    header, ids = HEADERS["the digit recogniser"], [f"r{row}" for row in range(N)]
    write(tmp_path / "t.csv", pixel_text(header, [[0, *image.ravel()] for image in PIXELS]))
    rows = [[name, *image.ravel()] for name, image in zip(ids, PIXELS, strict=True)]
    write(tmp_path / "test.csv", pixel_text(["id", *header[1:]], rows))
    write_csv(tmp_path / "sample.csv", ["id", "label"], [[name, 0] for name in reversed(ids)])
    data = parse('[data]\ntrain = "t.csv"\ntest = "test.csv"\nsample_submission = "sample.csv"').data
    assert open_source(data, tmp_path, "test").ids == tuple(ids)


@pytest.mark.parametrize(("cell", "message"), [("x", "could not convert"), ("", "could not convert"), ("nan", "NaN")])
def test_a_cell_that_is_no_pixel_is_told(tmp_path, cell, message):
    rows = [[0, *PIXELS[row].ravel().tolist()] for row in range(N)]
    rows[3][9] = cell
    write(tmp_path / "t.csv", pixel_text(HEADERS["the digit recogniser"], rows))
    with pytest.raises(DataError, match=message):
        opened(tmp_path, "t.csv")


@pytest.mark.parametrize("name", ["t.zip", "t.7z", "t.tar", "t.tar.gz"])
def test_an_archive_is_not_a_training_set(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match="has to be unpacked first") as caught:
        opened(tmp_path, name)
    assert caught.value.hint.startswith('[data] train = "t"')
