"""Bundles from others: always a message, nothing written outside, nothing executed."""

from __future__ import annotations

import io
import json
import random
import re
import resource
import stat
import zipfile
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import BundleError, KitError
from kit.platforms.archive import FREE_BYTES, MAX_RATIO, opened
from kit.platforms.described import BundleDescription

pytestmark = pytest.mark.stage


def description() -> dict[str, Any]:
    network = {"backbone": "plain-cnn", "size": 16, "classes": 2, "head": {"dropout": 0.1, "units": []}}
    part = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0], "bias": [0.0, 0.0]}
    return {
        "version": 1,
        "classes": ["a", "b"],
        "size": 16,
        "views": ["identity"],
        "members": [{"name": "m", "network": network, "weights": ["weights/m-0.npz"]}],
        "blend": {"views": [1.0], "parts": [part], "bias": []},
        "batch_size": 8,
    }


def weights(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays or {"0000": np.zeros((3, 3), np.float32)}))
    return buffer.getvalue()


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def good() -> dict[str, bytes]:
    return {"bundle.json": json.dumps(description()).encode(), "weights/m-0.npz": weights()}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    content = description()
    change(content)
    return {**good(), "bundle.json": json.dumps(content).encode()}


def header(shape: str, dtype: str = "<f4") -> bytes:
    """An npz with one array whose header lies."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padded = text.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode() + b"\x00" * 8
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("0000.npy", array)
    return buffer.getvalue()


def compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"0000": np.zeros(10_000_000, np.float32)})
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"0000": np.array([{"a": 1}], dtype=object)})
    return buffer.getvalue()


def directory(change: Callable[[zipfile.ZipFile], object]) -> bytes:
    """An npz of one array whose directory was changed before it was written."""
    buffer = io.BytesIO(weights())
    with zipfile.ZipFile(buffer, "a") as archive:
        change(archive)
        archive.comment = b"changed"
    return buffer.getvalue()


def overlapping() -> bytes:
    """An npz whose directory has one array a thousand times."""

    def repeat(archive: zipfile.ZipFile) -> None:
        (info,) = archive.filelist
        for number in range(1, 1000):
            again = copy(info)
            again.filename = again.orig_filename = f"{number:04d}.npy"
            archive.filelist.append(again)

    return directory(repeat)


def far_away() -> bytes:
    """An npz whose array is said to lie beyond the last byte that any file can have."""
    return directory(lambda archive: setattr(archive.filelist[0], "header_offset", 2**64 - 1))


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "no description": ({"model.py": b"import os"}, "is not a bundle"),
    "description is text": ({"bundle.json": b"hello"}, "Invalid JSON"),
    "description is deep": ({"bundle.json": b"[" * 100_000}, "Invalid JSON"),
    "description is a list": ({"bundle.json": b"[]"}, "bundle.json"),
    "unknown key": (changed(lambda d: d.update(evil=1)), "evil"),
    "unknown backbone": (
        changed(lambda d: d["members"][0]["network"].update(backbone="os:system")),
        "unknown backbone",
    ),
    "endless head": (changed(lambda d: d["members"][0]["network"]["head"].update(units=[10**9])), "at most 8 of 1 to"),
    "deep head": (changed(lambda d: d["members"][0]["network"]["head"].update(units=[8] * 50)), "head of 50 layers"),
    "odd activation": (
        changed(lambda d: d["members"][0]["network"]["head"].update(activation="os.system")),
        "head.activation",
    ),
    "wide builder": (
        changed(lambda d: d["members"][0]["network"].update(backbone="mobilenetv2", size=32, options={"alpha": 999})),
        "options.alpha: Extra inputs",
    ),
    "weights for the builder": (
        changed(lambda d: d["members"][0]["network"].update(options={"weights": "imagenet"})),
        "options",
    ),
    "option of another network": (
        changed(lambda d: d["members"][0]["network"].update(options={"units": [8]})),
        "plain-cnn has no option `units`",
    ),
    "unknown key of a network": (changed(lambda d: d["members"][0]["network"].update(evil=1)), "evil"),
    "network without a head": (changed(lambda d: d["members"][0]["network"].pop("head")), "head"),
    "unknown preprocessor": (
        changed(lambda d: d["members"][0]["network"].update(preprocess=[{"op": "exec"}])),
        "does not match any of the expected tags",
    ),
    "endless preprocessor": (
        changed(lambda d: d["members"][0]["network"].update(preprocess=[{"op": "resize", "size": 10**6}])),
        "resize.size: Input should be less than or equal to 2048",
    ),
    "flattened and wide": (
        changed(
            lambda d: (
                d.update(size=1024, batch_size=1),
                d["members"][0]["network"].update(size=1024, head={"pooling": "flatten", "units": [8000]}),
            )
        ),
        "are too large",
    ),
    "large batches of large images": (
        changed(lambda d: (d.update(size=2048, batch_size=4096), d["members"][0]["network"].update(size=2048))),
        "batches of 4096 images",
    ),
    "unknown view": (changed(lambda d: d.update(views=["__import__"])), "unknown view"),
    "absurd size": (changed(lambda d: d.update(size=10**9)), "size"),
    "absurd batch": (changed(lambda d: d.update(batch_size=10**9)), "batch_size"),
    "size of another bundle": (changed(lambda d: d.update(size=17)), "differ in size"),
    "absurd members": (changed(lambda d: d.update(members=d["members"] * 300)), "members"),
    "blend of another size": (changed(lambda d: d["blend"]["parts"][0].update(weights=[1.0, 2.0])), "list of length 2"),
    "blend of other classes": (changed(lambda d: d["blend"]["parts"][0].update(bias=[0.0])), "a list of length 1"),
    "blend of other views": (changed(lambda d: d["blend"].update(views=[0.5, 0.5])), "views: a list of length 2"),
    "blend is infinite": (changed(lambda d: d["blend"]["parts"][0].update(centre=float("inf"))), "finite number"),
    "blend without a key": (changed(lambda d: d["blend"]["parts"][0].pop("slopes")), "parts.0.slopes"),
    "blend of no temperature": (
        changed(lambda d: d["blend"]["parts"][0].update(temperatures=[0])),
        "greater than or equal to 0.02",
    ),
    "blend of ragged ranks": (
        changed(lambda d: d["blend"]["parts"][0].update(ranks=[[[0.0, 1.0], [0.0]]])),
        "ranks: a list of length 1, expected 2",
    ),
    "blend of text": (changed(lambda d: d["blend"]["parts"][0].update(share="all")), "valid number"),
    "blend is nothing": (changed(lambda d: d.update(blend={})), "blend.views"),
    "weights elsewhere": (changed(lambda d: d["members"][0].update(weights=["../../etc/passwd"])), "does not contain"),
    "weights missing": (changed(lambda d: d["members"][0].update(weights=["weights/x.npz"])), "does not contain"),
    "weights are code": (changed(lambda d: d["members"][0].update(weights=["model.py"])), "does not contain"),
    "parent folder": ({**good(), "../evil.txt": b"x"}, "outside its folder"),
    "absolute path": ({**good(), "/tmp/evil.txt": b"x"}, "outside its folder"),
    "absolute path in a folder around": (
        {f"b/{name}": content for name, content in {**good(), "/tmp/evil.npz": weights()}.items()},
        "outside its folder",
    ),
    "empty folder name": ({**good(), "weights//evil.npz": weights()}, "outside its folder"),
    "windows path": ({**good(), "..\\evil.txt": b"x"}, "outside its folder"),
    "drive": ({**good(), "C:evil.txt": b"x"}, "outside its folder"),
    "many files": ({**good(), **{f"f{number}": b"" for number in range(2001)}}, "contains 2003 files"),
    "array asks for a terabyte": ({**good(), "weights/m-0.npz": header("(274877906944,)")}, "not as large as"),
    "array is negative": ({**good(), "weights/m-0.npz": header("(-2,)")}, "not as large as"),
    "array is an object": ({**good(), "weights/m-0.npz": pickled()}, "type object"),
    "array of strings": ({**good(), "weights/m-0.npz": weights(a=np.array(["x"]))}, "not floating-point numbers"),
    "array is a bomb": ({**good(), "weights/m-0.npz": compressed()}, "is compressed"),
    "array of bytes": ({**good(), "weights/m-0.npz": weights(a=np.zeros(9, np.int8))}, "type int8"),
    "array of whole numbers": ({**good(), "weights/m-0.npz": weights(a=np.zeros(9, np.int64))}, "type int64"),
    "array of truths": ({**good(), "weights/m-0.npz": weights(a=np.zeros(9, bool))}, "type bool"),
    "array of complex numbers": ({**good(), "weights/m-0.npz": weights(a=np.zeros(9, np.complex64))}, "type complex64"),
    "more numbers than the network has": (
        {**good(), "weights/m-0.npz": weights(a=np.zeros(200_000, np.float16))},
        "contains 200000 numbers",
    ),
    "a network far larger than its weights": (
        changed(lambda d: d["members"][0]["network"]["head"].update(units=[8192, 512])),
        "contains 9 numbers, which do not match",
    ),
    "arrays share their bytes": ({**good(), "weights/m-0.npz": overlapping()}, "as large as the archive says"),
    "array far away": ({**good(), "weights/m-0.npz": far_away()}, "cannot be read"),
    "array without header": ({**good(), "weights/m-0.npz": weights()[:60]}, "cannot be read"),
    "weights are no archive": ({**good(), "weights/m-0.npz": b"PK nothing"}, "cannot be read"),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_cannot_be_read_in_bounded_memory_is_refused(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", method) as archive:
        for name, content in good().items():
            archive.writestr(name, content)
    with pytest.raises(BundleError, match="unsupported compression"), opened(tmp_path / "b.zip"):
        pass


def zeros(network: dict[str, Any], count: int, dtype: type, folds: int) -> dict[str, bytes]:
    """A bundle of folds whose weights are one array of zeros each."""
    names = [f"weights/{fold}.npz" for fold in range(folds)]
    content = weights(a=np.zeros(count, dtype))
    described = changed(lambda d: d["members"][0].update(network=network, weights=names))
    return {**described, **dict.fromkeys(names, content)}


TINY = {"backbone": "plain-cnn", "size": 16, "classes": 2, "head": {}}
LARGE = {"backbone": "plain-cnn", "size": 16, "classes": 2, "head": {"units": [4096, 4096]}}
LARGE_NUMBERS = 164_264 + 129 * 4096 + 4097 * 4096 + 4097 * 2


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        (zeros(TINY, 100_000_000, np.int8, 1), 0),
        (zeros(TINY, 100_000_000, np.float16, 1), 0),
        (zeros(TINY, 164_000, np.float32, 3), 3),
        (zeros(LARGE, LARGE_NUMBERS, np.float32, 3), 0),
    ],
    ids=["bytes", "another network", "small", "fitting zeros"],
)
def test_a_small_zip_writes_little(files: dict[str, bytes], kept: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    packed = (tmp_path / "b.zip").stat().st_size
    with opened(tmp_path / "b.zip") as folder:
        written = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        assert len(list(folder.rglob("*.npz"))) == kept
    assert packed < 1 << 20
    assert sum(written) <= max(FREE_BYTES, MAX_RATIO * packed)


def test_the_values_that_were_checked_are_the_ones_that_are_handed_on(tmp_path: Path) -> None:
    text = json.dumps({**description(), "batch_size": 4096})
    twice = text.replace('"version": 1', '"version": 1, "classes": ["x", "y", "z"]')
    with opened(pack(tmp_path / "b.zip", {**good(), "bundle.json": twice.encode()})) as folder:
        handed = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    assert handed["classes"] == ["a", "b"]
    assert BundleDescription.model_validate_json(twice, strict=True).bounded() == BundleDescription(**handed)


def test_a_good_bundle_opens_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.zip", {**good(), "model.py": b"raise SystemExit(3)"})
    with opened(path) as folder:
        assert json.loads((folder / "bundle.json").read_text())["classes"] == ["a", "b"]
        assert (folder / "weights" / "m-0.npz").exists()
        assert not (folder / "model.py").exists()
    assert not folder.exists()


@pytest.mark.parametrize("around", ["bundle", "my bundle (2)", "weights"])
def test_a_bundle_in_a_folder_is_read_whatever_a_mac_leaves_beside_it(tmp_path: Path, around: str) -> None:
    inside = {f"{around}/{name}": content for name, content in good().items()}
    litter = {"__MACOSX/bundle/._bundle.json": b"\0\5\x16\7", f"{around}/.DS_Store": b"x", f"{around}/": b""}
    with opened(pack(tmp_path / "b.zip", {**inside, **litter})) as folder:
        assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(good())
    described = {**inside, f"{around}/bundle.json": b"{}"}
    with (
        pytest.raises(BundleError, match=re.escape(f"{around}/bundle.json: ")),
        opened(pack(tmp_path / "c.zip", described)),
    ):
        pass


@pytest.mark.parametrize("two", [{"other/a.txt": b""}, {"a.txt": b""}])
def test_a_description_deeper_than_one_folder_around_everything_is_none(tmp_path: Path, two: dict[str, bytes]) -> None:
    inside = {f"bundle/{name}": content for name, content in good().items()}
    with (
        pytest.raises(BundleError, match=r"contains no bundle\.json"),
        opened(pack(tmp_path / "b.zip", {**inside, **two})),
    ):
        pass


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_refused_with_a_message(case: str, tmp_path: Path) -> None:
    files, said = HOSTILE[case]
    inside = tmp_path / "inside"
    inside.mkdir()
    path = pack(inside / "b.zip", files)
    with pytest.raises(BundleError, match=said), opened(path):
        pass
    assert [entry.name for entry in tmp_path.rglob("*")] == ["inside", "b.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.zip", good())
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("weights/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(BundleError, match="the link"), opened(path):
        pass


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.zip", good())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("bundle.json", b"{}")
    with pytest.raises(BundleError, match="twice"), opened(path):
        pass


def test_a_disk_without_room_is_not_said_to_be_the_fault_of_the_zip(tmp_path: Path) -> None:
    path, (before, most) = pack(tmp_path / "b.zip", good()), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, most))
    try:
        with pytest.raises(KitError, match="the command cannot continue: File too large") as raised, opened(path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert raised.value.hint == "ulimit -f unlimited"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such file"), opened(tmp_path / "b.zip"):
        pass


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_a_damaged_bundle_opens_or_is_refused_but_never_surprises(tmp_path_factory, seed: int, flips: int) -> None:  # type: ignore[no-untyped-def]
    path = pack(tmp_path_factory.mktemp("zip") / "b.zip", good())
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for _ in range(flips):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(bytes(content[: chance.randrange(1, len(content) + 1)] if chance.random() < 0.3 else content))
    try:
        with opened(path):
            pass
    except BundleError as error:
        assert error.message
