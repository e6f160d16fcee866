"""Folders of images: what is a class, what is passed over, and labels in file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from competitions import folder_competition, picture

from kit.base.events import Event
from kit.config import parse
from kit.errors import ConfigError, DataError
from kit.images.sources import open_source
from kit.images.sources.folder import SPLITS
from kit.stages.clean.clean import clean
from kit.store.layout import Layout


def save(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture("cat", number, 16).save(root / name)


def opened(root: Path, text: str = "", part: str = "train"):
    return open_source(parse(f'[data]\ntrain = "raw"\n{text}').data, root, part)


@pytest.mark.parametrize("around", ["", "pets/", "pets/pets/"])
@pytest.mark.parametrize("train", SPLITS["train"])
@pytest.mark.parametrize("other", [*SPLITS["validation"], *SPLITS["test"], "TEST"])
def test_the_parts_of_a_data_set_are_not_its_classes(tmp_path, around, train, other):
    save(tmp_path / "raw", *(f"{around}{part}/{name}/0.png" for part in (train, other) for name in ("cat", "dog")))
    with pytest.raises(DataError, match="is split already") as caught:
        opened(tmp_path)
    folder = tmp_path / "raw" / around
    also = f'   # and validation = "{folder / other}"' if other in SPLITS["validation"] else ""
    assert caught.value.hint == f'[data] train = "{folder / train}"{also}'
    parsed = parse(caught.value.hint.replace("[data] ", "[data]\n").replace("   # and ", "\n")).data
    assert open_source(parsed, tmp_path, "train").classes == ("cat", "dog")


def test_a_folder_around_the_classes_is_not_the_only_class(tmp_path):
    save(tmp_path / "raw", "pets/images/cat/0.png", "pets/images/dog/1.png")
    with pytest.raises(DataError, match="contains a single folder, and 'images' in it the class folders") as caught:
        opened(tmp_path)
    data = parse(caught.value.hint.replace("[data] ", "[data]\n")).data
    assert open_source(data, tmp_path, "train").classes == ("cat", "dog")


def test_parts_without_class_folders_lead_to_the_table_beside_them(tmp_path):
    save(tmp_path / "raw", "train/0.png", "test/1.png")
    (tmp_path / "raw/train.csv").write_text("id,label\n0,cat\n")
    with pytest.raises(DataError, match="is split already") as caught:
        opened(tmp_path)
    assert caught.value.hint == f'[data] train = "{tmp_path / "raw/train.csv"}"'


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        ("sample_submission.csv test.csv train.csv", "train.csv"),
        ("sample_submission.csv test.csv labels.tsv", "labels.tsv"),
        ("a.npz test.npz", "a.npz"),
        ("sample_submission.csv train/cat/1.txt", "train"),
        ("t10k-images-idx3-ubyte train-images-idx3-ubyte train-labels-idx1-ubyte", "train-images-idx3-ubyte"),
        ("train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz"),
        ("x_test.npy x_train.npy y_test.npy y_train.npy", "x_train.npy"),
        ("Labels.npy images.npy", "images.npy"),
        ("data/test-00000-of-00001.parquet data/train-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"),
    ],
)
def test_a_folder_of_other_things_leads_to_what_is_meant(tmp_path, files, meant):
    for name in files.split():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).touch()
    with pytest.raises(DataError, match="no image files") as caught:
        opened(tmp_path)
    assert caught.value.hint == f'[data] train = "{tmp_path / "raw" / meant}"'


@pytest.mark.parametrize(
    "names",
    [
        "train_images test_images",
        "Train2017 Val2017",
        "img-train set_test",
        "seg_train seg_test seg_pred",
        "Train_Abc Test_Abc",
    ],
)
def test_folders_of_images_of_the_parts_are_not_classes(tmp_path, names):
    save(tmp_path / "raw", *(f"{name}/0.png" for name in names.split()))
    (tmp_path / "raw/train.csv").write_text("id,label\n0,cat\n")
    with pytest.raises(DataError, match="is split already") as caught:
        opened(tmp_path)
    assert caught.value.hint == f'[data] train = "{tmp_path / "raw/train.csv"}"'


@pytest.mark.parametrize(
    "names",
    [("train", "plane"), ("test", "control"), ("dev", "ops"), ("training", "other"), ("bullet train", "test tube")],
)
def test_a_class_may_be_called_like_a_part(tmp_path, names):
    save(tmp_path / "raw", *(f"{name}/0.png" for name in names))
    assert opened(tmp_path).classes == tuple(sorted(names))


def test_what_is_passed_over_is_counted_by_suffix_and_litter_is_not(tmp_path):
    folder_competition(tmp_path, 12)
    for name in ("cat/a.svg", "cat/b.SVG", "dog/deep/c.pdf", "dog/plain", "cat/.hidden.png", "cat/Thumbs.db"):
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"x")
    save(tmp_path / "raw", "__MACOSX/cat/0.png", ".ipynb_checkpoints/0.png")
    assert opened(tmp_path).passed_over == {".svg": 2, ".pdf": 1, "": 1}
    said: list[Event] = []
    clean(Layout(tmp_path), parse('[data]\ntrain = "raw"'), said.append)
    warned = [event.text for event in said if event.kind == "warn"]
    assert len(warned) == 1 and all(part in warned[0] for part in ("4 files", "2 .svg", "1 .pdf", "1 without"))


@pytest.mark.parametrize("pattern", ["^(.+?)\\.\\d+", "(cat|dog)", "^([a-z]+)"])
def test_labels_stand_in_file_names(tmp_path, pattern):
    save(tmp_path / "raw", "cat.0.png", "dog.0.png", "cat.1.png")
    raw = opened(tmp_path, f"label = '{pattern}'")
    assert raw.classes == ("cat", "dog") and [raw.classes[label] for label in raw.labels] == ["cat", "cat", "dog"]


@pytest.mark.parametrize("name", ["cat.{}.png", "great_pyrenees_{}.jpg", "Cat {}.png", "n0{}.png"])
def test_a_pattern_is_proposed_that_works(tmp_path, name):
    save(tmp_path / "raw", *(name.format(number) for number in range(3)), *(f"hen-{number}.png" for number in range(3)))
    with pytest.raises(DataError, match="is not in a class folder") as caught:
        opened(tmp_path)
    raw = opened(tmp_path, caught.value.hint.removeprefix("[data] "))
    assert raw.classes == tuple(sorted((name.format("").rpartition(".")[0].rstrip("._ 0"), "hen")))


def test_files_whose_names_are_numbers_need_folders_or_a_table(tmp_path):
    save(tmp_path / "raw", "001.png", "002.png")
    with pytest.raises(DataError) as caught:
        opened(tmp_path)
    assert "label" not in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "message"), [("(bird)", "finds no class in"), ("(cat", "not a regular expression")]
)
def test_a_pattern_that_does_not_fit_is_told(tmp_path, pattern, message):
    save(tmp_path / "raw", "cat.0.png", "dog.0.png")
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path, f"label = '{pattern}'")


def test_the_label_column_of_a_table_is_no_pattern_for_a_folder(tmp_path):
    save(tmp_path / "raw", "0.png", "1.png")
    save(tmp_path / "hidden", "cat/0.png")
    for column in ("grade", "class (animal)"):
        (tmp_path / "t.csv").write_text(f"id,{column},age\n0,cat,7\n1,dog,8\n")
        data = parse(f'[data]\ntrain = "t.csv"\ntruth = "hidden"\nlabel = "{column}"\nimages = "raw"').data
        assert open_source(data, tmp_path, "truth").labels.tolist() == [0]


def test_folders_that_are_alike_in_all_class_folders_are_told(tmp_path):
    names = [f"{site}/{name}/{row}.png" for site in ("one", "two") for name in ("cat", "dog") for row in range(2)]
    save(tmp_path / "raw", *names)
    raw = opened(tmp_path)
    assert raw.classes == ("one", "two") and "cat, dog" in raw.notes[0]
    again = opened(tmp_path, raw.notes[0].partition("[data] ")[2] + "\n")
    assert again.classes == ("cat", "dog") and not again.notes
    save(tmp_path / "raw", "two/loose.png")
    assert not opened(tmp_path).notes


@pytest.mark.parametrize(("below", "told"), [(("cat", "dog", "car"), True), (("patient1", "patient2", "P03"), False)])
def test_folders_below_the_class_folders_may_be_the_classes_where_they_are_words(tmp_path, below, told):
    above = ("animals", "animals", "vehicles")
    save(tmp_path / "raw", *(f"{a}/{b}/{row}.png" for a, b in zip(above, below, strict=True) for row in range(2)))
    raw = opened(tmp_path)
    assert raw.classes == ("animals", "vehicles") and bool(raw.notes) == told
    if told:
        assert opened(tmp_path, raw.notes[0].partition("[data] ")[2] + "\n").classes == ("car", "cat", "dog")


def test_classes_that_differ_in_case_are_told(tmp_path):
    save(tmp_path / "raw", *(f"{name}/{row}.png" for name in ("cat", "Cat", "dog") for row in range(3)))
    said: list[Event] = []
    clean(Layout(tmp_path), parse('[data]\ntrain = "raw"\nimage_size = 16\n'), said.append)
    assert [event.text for event in said if "differ in case" in event.text] == [
        "the classes 'Cat' and 'cat' differ in case alone: if they are one, correct it"
    ]


@pytest.mark.parametrize("content", [b"", None])
def test_a_file_that_is_changed_after_it_was_hashed_is_not_used(tmp_path, content):
    save(tmp_path / "raw", "cat/0.png", "cat/1.png", "dog/0.png")
    raw, changed = opened(tmp_path), tmp_path / "raw/cat/1.png"
    assert [problems for _, _, problems in raw.blocks()] == [{}]
    changed.write_bytes((tmp_path / "raw/dog/0.png").read_bytes() if content is None else content)
    with pytest.raises(DataError, match=r"1\.png was changed after it was hashed"):
        list(raw.blocks())
    assert opened(tmp_path).fingerprint != raw.fingerprint
