"""Predictions of others: any order is brought to one, anything broken is refused by file, row and value."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import library

from kit.errors import DataError
from kit.judge.blend.foreign import match, member_names, read_foreign

IDS, CLASSES = tuple(f"img{i}" for i in range(40)), ("cat", "dog", "emu")
PROBA = library(0, members=1, rows=40, classes=3)[0][0]


def table(ids=IDS, classes=CLASSES, proba=PROBA, separator=","):
    lines = [separator.join(["id", *classes])]
    lines += [separator.join([name, *map(repr, row.tolist())]) for name, row in zip(ids, proba, strict=True)]
    return "\n".join(lines) + "\n"


def npz(path, **arrays):
    np.savez(path, **{"ids": np.array(IDS), "classes": np.array(CLASSES), **arrays})
    return path


def said(path, classes=CLASSES):
    """The one line that a file is refused with."""
    with pytest.raises(DataError) as caught:
        read_foreign(path, classes).take(IDS)
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_logits_and_probabilities_in_any_order_of_rows_and_classes_are_the_same_predictions(tmp_path, dtype):
    rows, columns = np.random.default_rng(0).permutation(40), np.array([2, 0, 1])
    ids, classes = np.array(IDS)[rows], np.array(CLASSES)[columns]
    shuffled = PROBA[np.ix_(rows, columns)]
    files = [
        npz(tmp_path / "p.npz", ids=ids, classes=classes, proba=shuffled.astype(dtype)),
        npz(tmp_path / "l.npz", ids=ids, classes=classes, logits=(np.log(shuffled) + 3).astype(dtype)),
        npz(tmp_path / "b.npz", ids=ids.astype("S"), classes=classes.astype("S"), proba=shuffled[None]),
    ]
    (tmp_path / "t.csv").write_text(table(ids, classes, shuffled))
    for path in (*files, tmp_path / "t.csv"):
        taken = read_foreign(path, CLASSES).take(IDS)
        assert taken.ids == IDS and taken.views == ("identity",)
        assert np.allclose(taken.proba[0], PROBA, atol=4e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_read_in_the_encodings_and_separators_that_spreadsheets_write(tmp_path, encoding, separator):
    ids = tuple(f"é{i}" for i in range(40))
    (tmp_path / "t.csv").write_bytes(table(ids, separator=separator).replace("\n", "\r\n").encode(encoding))
    assert np.allclose(read_foreign(tmp_path / "t.csv", CLASSES).take(ids).proba[0], PROBA)


def test_decimal_commas_are_read(tmp_path):
    (tmp_path / "t.csv").write_text(table(separator=";").replace(".", ","))
    assert np.allclose(read_foreign(tmp_path / "t.csv", CLASSES).take(IDS).proba[0], PROBA)


def test_columns_that_are_not_classes_are_passed_over(tmp_path):
    lines = [f"{k},{CLASSES[k % 3]},{name},{k % 5},{a!r},{b!r},{c!r}" for k, (name, (a, b, c)) in enumerate(
        zip(IDS, PROBA.tolist(), strict=True)
    )]  # fmt: skip
    (tmp_path / "t.csv").write_text("\n".join([",label,image_id,fold,cat,dog,emu", *lines]))
    assert np.allclose(read_foreign(tmp_path / "t.csv", CLASSES).take(IDS).proba[0], PROBA)


def test_views_are_kept_apart_as_the_kit_writes_them(tmp_path):
    views = np.stack([np.log(PROBA), np.log(PROBA[:, ::-1])]).astype(np.float32)
    path = npz(tmp_path / "oof.npz", views=np.array(["identity", "flip-lr"]), logits=views)
    found = read_foreign(path, CLASSES)
    assert found.views == ("identity", "flip-lr")
    assert np.allclose(found.proba, [PROBA, PROBA[:, ::-1]], atol=1e-6)


HEADERS = {
    "kit predict": "class {}".format,
    "probabilities": "proba_{}".format,
    "a suffix": "{} (p)".format,
    "another case": str.upper,
    "a guarded cell": "'{}".format,
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("classes", [("cat", "dog", "emu"), ("=1", "+x", "-y"), ("10", "1", "0"), ("a", "id", "label")])
def test_class_columns_are_found_by_what_they_have_in_common(tmp_path, header, classes):
    if (header == "a guarded cell" and classes[0] != "=1") or (header == "another case" and "id" in classes):
        return  # a guard before what needs none; names that stand there twice
    order = [2, 0, 1]
    columns = [HEADERS[header](classes[k]) for k in order]
    lines = [",".join(["id", "label", *columns])] if "id" not in columns else [",".join(["image_id", "fold", *columns])]
    lines += [f"{name},0,{','.join(map(repr, row.tolist()))}" for name, row in zip(IDS, PROBA[:, order], strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert np.allclose(read_foreign(tmp_path / "t.csv", classes).take(IDS).proba[0], PROBA)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parquet_file_is_read_as_the_table_that_it_is(tmp_path, dtype):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"label": ["cat"] * 40, "image_id": list(IDS[::-1])}
    columns |= {f"p_{name}": PROBA[::-1, k].astype(dtype) for k, name in enumerate(CLASSES)}
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    assert np.allclose(read_foreign(tmp_path / "a.parquet", CLASSES).take(IDS).proba[0], PROBA)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "a.parquet cannot be read" in said(tmp_path / "a.parquet")


def test_of_several_columns_that_may_be_the_ids_the_one_with_the_ids_of_the_data_is_taken(tmp_path):
    lines = [f"{k},x{k},{name},{','.join(map(repr, row.tolist()))}" for k, (name, row) in enumerate(
        zip(IDS, PROBA, strict=True)
    )]  # fmt: skip
    (tmp_path / "t.csv").write_text("\n".join(["id,uuid,photo,cat,dog,emu", *lines]))
    assert np.allclose(read_foreign(tmp_path / "t.csv", CLASSES, [IDS]).take(IDS).proba[0], PROBA)


def test_a_column_named_id_goes_before_numbers_of_rows(tmp_path):
    lines = [f"{k},{k + 30},{','.join(map(repr, row.tolist()))}" for k, row in enumerate(PROBA)]
    (tmp_path / "t.csv").write_text("\n".join([",id,cat,dog,emu", *lines]))
    wanted = [str(k) for k in range(40)]
    assert read_foreign(tmp_path / "t.csv", CLASSES, [wanted]).ids == tuple(str(k + 30) for k in range(40))


@pytest.mark.parametrize("form", ["{}.png", "train/{}.JPG", "a\\b\\{}.jpeg", "/data/raw/{}"])
def test_ids_are_found_behind_folders_and_suffixes(form):
    assert match([form.format(name) for name in IDS], IDS[::-1]).tolist() == list(range(40))[::-1]


@pytest.mark.parametrize("name", ["image", "image_id", "filename", "names", "img_paths"])
def test_an_array_of_ids_is_found_by_the_usual_names_of_columns(tmp_path, name):
    np.savez(tmp_path / "p.npz", **{name: np.array(IDS[::-1])}, proba=PROBA[::-1])
    taken = read_foreign(tmp_path / "p.npz", CLASSES, [IDS])
    assert not taken.assumed and np.allclose(taken.take(IDS).proba[0], PROBA)


def test_an_array_without_ids_has_the_rows_of_the_first_order_of_its_length(tmp_path):
    np.save(tmp_path / "a.npy", PROBA.astype(np.float16))
    np.savez(tmp_path / "b.npz", preds=PROBA)
    for name in ("a.npy", "b.npz"):
        found = read_foreign(tmp_path / name, CLASSES, [IDS[:7], IDS[::-1], IDS])
        assert found.ids == IDS[::-1] and np.allclose(found.proba[0], PROBA, atol=3e-4)
        with pytest.raises(DataError, match=r"40 rows without ids, but the data have 39 or 7"):
            read_foreign(tmp_path / name, CLASSES, [IDS[:39], IDS[:7]])
    np.save(tmp_path / "a.npy", PROBA[:, :2])
    with pytest.raises(DataError, match="2 columns without names, but the data have 3 classes"):
        read_foreign(tmp_path / "a.npy", CLASSES, [IDS])


@pytest.mark.parametrize("name", ["a.ids.txt", "a_ids.npy", "ids.csv"])
def test_a_list_of_ids_beside_an_array_names_its_rows(tmp_path, name):
    def write(ids):
        if name.endswith("npy"):
            np.save(tmp_path / name, np.array(ids))
        else:
            lines = [f"{k},{each}" for k, each in enumerate(ids)] if name.endswith("csv") else ids
            (tmp_path / name).write_text(
                "\n".join([*(["row,image_id"] if name.endswith("csv") else []), *lines]) + "\n"
            )

    np.save(tmp_path / "a.npy", PROBA)
    write(IDS[::-1])
    assert np.array_equal(read_foreign(tmp_path / "a.npy", CLASSES, [IDS]).take(IDS).proba[0], PROBA[::-1])
    write(IDS[:-1])
    with pytest.raises(DataError, match=f"{name} has 39 ids, but .*a.npy has 40 rows"):
        read_foreign(tmp_path / "a.npy", CLASSES, [IDS])


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_numbers_of_which_most_rows_have_a_negative_one_are_logits(tmp_path, suffix):
    path, logits = tmp_path / f"a{suffix}", np.log(PROBA)
    np.save(path, logits) if suffix == ".npy" else path.write_text(table(proba=logits))
    found = read_foreign(path, CLASSES, [IDS])
    assert np.allclose(found.take(IDS).proba[0], PROBA)
    assert found.guessed
    noisy = np.where(PROBA.argmax(axis=1)[:, None] == range(3), 1 + 1e-9, -5e-10)
    np.save(path, noisy) if suffix == ".npy" else path.write_text(table(proba=noisy))
    found = read_foreign(path, CLASSES, [IDS])
    assert np.allclose(found.proba[0], noisy.round())
    assert not found.guessed
    scaled = 100 * PROBA
    np.save(path, scaled) if suffix == ".npy" else path.write_text(table(proba=scaled))
    with pytest.raises(DataError, match="row 'img0': the probabilities of the 3 classes sum to 100"):
        read_foreign(path, CLASSES, [IDS])


NAMES = st.lists(st.integers(0, 10**6), min_size=1, max_size=12, unique=True)


@given(NAMES, st.randoms(use_true_random=False))
def test_numbers_are_found_however_they_are_padded(numbers, random):
    wanted = [f"{number:07d}" for number in numbers]
    given_as = [random.choice(["{}", "{:05d}", "{}.0", " {}"]).format(number) for number in numbers]
    random.shuffle(given_as)
    found = match(given_as, wanted)
    assert [int(float(given_as[row])) for row in found] == numbers


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=12, unique=True), st.randoms())
def test_a_name_that_is_there_is_found_as_it_is_whatever_it_resembles(names, random):
    shuffled = names.copy()
    random.shuffle(shuffled)
    assert [shuffled[row] for row in match(shuffled, names)] == names


def test_names_that_a_comparison_cannot_tell_apart_are_not_found_by_it():
    assert match(["7"], ["07", "007"]).tolist() == [-1, -1]
    assert match(["7", "007"], ["07", "8"]).tolist() == [-1, -1]
    assert match(["7", "007"], ["007", "7"]).tolist() == [1, 0]
    assert match([unicodedata.normalize("NFD", "é"), "b "], ["é", "b"]).tolist() == [0, 1]
    assert match(["1e3", "0x10", "-7", "१"], ["1000", "16", "7", "1"]).tolist() == [-1] * 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan, 0.5, 0.5], "row 'img7', class 'cat': nan is not a probability (1 such rows)"),
        ([0.5, np.inf, 0.5], "row 'img7', class 'dog': inf is not a probability"),
        ([-0.5, 0.5, 1.0], "row 'img7', class 'cat': -0.5 is not a probability"),
        ([0.5, 0.5, 0.5], "row 'img7': the probabilities of the 3 classes sum to 1.5 (1 such rows)"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_row_that_is_no_distribution_is_refused_with_its_value(tmp_path, row, message, suffix):
    proba, path = PROBA.copy(), tmp_path / f"a{suffix}"
    proba[7] = row
    npz(path, proba=proba) if suffix == ".npz" else path.write_text(table(proba=proba))
    assert message in said(path)


def test_a_logit_may_be_minus_infinity_but_not_of_every_class(tmp_path):
    logits = np.log(PROBA)
    logits[:, 2] = -np.inf
    found = read_foreign(npz(tmp_path / "a.npz", logits=logits), CLASSES).proba[0]
    assert (found[:, 2] == 0).all() and np.allclose(found.sum(axis=1), 1)
    for value in ([-np.inf] * 3, [np.inf, 0, 0], [np.nan, 0, 0]):
        logits[7] = value
        assert "row 'img7', class 'cat'" in said(npz(tmp_path / "a.npz", logits=logits))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"ids": np.array(IDS, object), "proba": PROBA}, "the array 'ids' holds Python objects"),
        ({"ids": np.array(IDS)[None], "proba": PROBA}, "`ids` has shape (1, 40)"),
        ({"ids": np.arange(40) + 0.5, "proba": PROBA}, "`ids` has shape (40,) and dtype float64"),
        ({"ids": np.array([b"\xff"] * 40), "proba": PROBA}, "`ids` contains bytes that are not UTF-8"),
        ({"classes": np.array(3), "proba": PROBA}, "`classes` has shape ()"),
        ({"proba": PROBA.astype(str)}, "`proba` has dtype <U"),
        ({"proba": PROBA.astype(complex)}, "`proba` has dtype complex128, not real numbers"),
        ({"proba": PROBA[:, 0]}, "`proba` has shape (40,)"),
        ({"proba": np.stack([PROBA] * 3)}, "`proba` has shape (3, 40, 3), expected (1, 40, 3)"),
        ({"proba": PROBA[:, :2]}, "`proba` has shape (40, 2)"),
        ({"proba": np.zeros((0, 3)), "ids": np.array([], str)}, "`proba` has shape (0, 3)"),
        ({"logits": np.log(PROBA).astype("datetime64[s]")}, "`logits` has dtype datetime64"),
        ({}, "has no array `proba` or `logits`"),
        (
            {"proba": PROBA, "classes": np.array(["cat", "dog", "elk"])},
            "'emu' of the data is missing; the file has 'cat'",
        ),
        ({"proba": PROBA, "ids": np.array([*IDS[:39], IDS[0]])}, "id 'img0' appears twice"),
        ({"proba": PROBA[:39], "ids": np.array(IDS[:39])}, "has no predictions for 1 rows, first for row 'img39'"),
    ],
)
def test_arrays_of_another_layout_are_refused_by_name(tmp_path, arrays, message):
    assert message in said(npz(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (table().encode().replace(b"id,", "ïd,".encode("latin-1")), "is not UTF-8 (byte 0)"),
        (table().encode("utf-16")[:-1], "is not UTF-16"),
        (table().encode("utf-16-le"), "line 1 contains a NUL byte"),
        (table().encode() + b'"' + b"9" * 200_000, "field larger than field limit"),
        (b"id,cat,dog,emu\nimg0,0.5\n", "row 1 has 2 cells, but the header has 4"),
        (b"id,cat,dog,emu\nimg0,1,0,x\n", "row 'img0', class 'emu': 'x' is not a number"),
        (b"id,cat,dog,emu\nimg0,1,0,\n", "row 'img0', class 'emu': '' is not a number"),
        (b"cat,dog,emu\n1,0,0\n", "has no id column"),
    ],
)
def test_damaged_tables_are_refused_on_one_line(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_foreign(tmp_path / "a.csv", CLASSES)
    assert message in caught.value.message and "a.csv" in caught.value.message and "\n" not in caught.value.message


def test_what_is_not_a_file_of_predictions_is_refused(tmp_path):
    (tmp_path / "z.csv").mkdir()
    (tmp_path / "y.npz").mkdir()
    assert "Is a directory" in said(tmp_path / "z.csv")
    assert "Is a directory" in said(tmp_path / "y.npz")
    assert "No such file" in said(tmp_path / "c.csv")
    assert "No such file" in said(tmp_path / "c.npz")
    np.save(tmp_path / "a.npy", PROBA)
    assert "predictions must be a .npz, .npy, .csv, .tsv, .parquet file" in said(tmp_path / "a.pkl")
    for content in (b"", b"hello", b"PK", (tmp_path / "a.npy").read_bytes()):
        (tmp_path / "a.npz").write_bytes(content)
        said(tmp_path / "a.npz")


def archive(method):
    """The bytes of a small npz of predictions, its members stored or compressed by ``method``."""
    content = io.BytesIO()
    arrays = {"ids": np.array(IDS[:3]), "classes": np.array(CLASSES), "proba": np.eye(3)}
    with zipfile.ZipFile(content, "w", method) as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            file.writestr(f"{name}.npy", member.getvalue())
    return content.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused_or_was_damaged_where_nothing_is_read(tmp_path, method):
    whole, path, refused = archive(method), tmp_path / "a.npz", 0
    random = np.random.default_rng(method)
    damaged = [whole[:k] + bytes([whole[k] ^ int(random.integers(1, 256))]) + whole[k + 1 :] for k in range(len(whole))]
    damaged += [whole[:k] for k in range(0, len(whole), 7)]
    for content in damaged:
        path.write_bytes(content)
        try:
            assert np.array_equal(read_foreign(path, CLASSES).take(IDS[:3]).proba[0], np.eye(3))
        except DataError as error:
            assert "a.npz" in error.message and "\n" not in error.message
            refused += 1
    assert len(damaged) * 0.5 < refused < len(damaged)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,), }",
        b"{'descr': [('a',)], 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
        b"{1: 2, 'a': 3}",
        b"(" * 5000,
        b"'''",
    ],
)
def test_an_array_whose_header_is_a_lie_is_refused(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("ids.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert "the array 'ids' cannot be read" in said(tmp_path / "a.npz")


def test_members_are_named_by_the_shortest_ends_of_their_paths_that_differ():
    assert member_names([Path("x/a.npz"), Path("x/b.csv")]) == ("a", "b")
    assert member_names([Path("x/oof.csv"), Path("y/oof.csv")]) == ("x/oof", "y/oof")
    assert member_names([Path("x/oof.csv"), Path("x/oof.npz")]) == ("oof.csv", "oof.npz")
    with pytest.raises(DataError, match=r"oof.csv is given 2 times"):
        member_names([Path("oof.csv"), Path.cwd() / "oof.csv"])
