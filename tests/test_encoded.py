"""Images kept as streams are those of the array, whoever reads them, and are made once whatever interrupts it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from competitions import COLOURS, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import InProcess, drawn
from PIL import Image

from kit.base.events import Event, Pace, silent
from kit.config import parse
from kit.errors import DataError, StageError
from kit.images.sources import raw as raw_sets
from kit.images.sources.folder import open_folder
from kit.images.sources.raw import Held, RawSet, joined, row_ids
from kit.runs.engine.sending import Folder, Warehouse, task_spec
from kit.runs.spec import plan_runs
from kit.runs.units import Unit
from kit.runtime import decode
from kit.stages.clean import decoded as store
from kit.stages.clean.clean import clean
from kit.stages.folds import make_folds
from kit.stages.train.train import train
from kit.store.data import load_images, load_index, load_record, unlabelled_images
from kit.store.encoded import EncodedImages, open_images, stored_files
from kit.store.files import read_csv, write_atomic
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

pytestmark = pytest.mark.stage


def raw_of(images: np.ndarray, files: list[bytes] | None = None, broken: tuple[int, ...] = ()) -> RawSet:
    """A source of ``images`` in two classes, of ``files`` that they are decoded from; ``broken`` cannot be read."""

    def read(start: int, stop: int) -> tuple[np.ndarray, dict[int, str]]:
        block = images[start:stop].copy()
        bad = [row for row in broken if start <= row < stop]
        block[[row - start for row in bad]] = 0
        return block, dict.fromkeys(bad, "damaged")

    n = len(images)
    return RawSet(
        ids=row_ids(n),
        labels=np.arange(n) % 2,
        classes=("a", "b"),
        shape=images.shape[1:3],
        read=read,
        fingerprint=f"{hash(images.tobytes())} {broken}",
        sizes=np.tile(images.shape[1:3], (n, 1)) if files else None,
        file=(lambda row: Held(lambda: files[row])) if files else lambda row: None,
    )


def noise(n: int, side: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3)).astype(np.uint8)


def source(raw: RawSet, **keys: Any) -> store.Source:
    test, data = keys.pop("test", False), parse("[data]\ntrain = 'x.npz'").data
    root = keys.pop("root", Path("nowhere"))
    return store.Source(raw, data.model_copy(update={"store": "encoded", **keys}), root, test)


def decoded(table: Path, raw: RawSet, **keys: Any) -> store.Decoded:
    with store.decoding(table, source(raw, **keys), silent) as found:
        store.write_images(table, found, np.arange(len(found.rows)))
    if keys.get("store") == "array":
        store.tidy(table, 0)
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def jpeg(pixels: np.ndarray, quality: int = 80) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return content.getvalue()


@settings(max_examples=25)
@given(
    st.integers(1, 40),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.lists(st.integers(0, 39), max_size=5, unique=True),
    st.booleans(),
    st.data(),
)
def test_rows_are_those_of_the_array_whichever_way_they_are_asked_for(tmp_path_factory, n, size, broken, test, data):
    images = np.random.default_rng(n).integers(0, 256, (n, *size, 3)).astype(np.uint8)
    broken = tuple(row for row in broken if row < n)
    if len(broken) == n:
        broken = broken[1:]
    folder, raw = tmp_path_factory.mktemp("laws"), raw_of(images, broken=broken)
    encoded = decoded(folder / "encoded.npy", raw, test=test)
    array = decoded(folder / "array.npy", raw, test=test, store="array")
    one, other = open_images(folder / "encoded.npy"), open_images(folder / "array.npy")
    assert isinstance(one, EncodedImages) and (one.shape, one.dtype, len(one)) == (other.shape, other.dtype, len(other))
    np.testing.assert_array_equal(np.asarray(one), other)
    np.testing.assert_array_equal(np.asarray(one, np.float32), other.astype(np.float32))
    np.testing.assert_array_equal(one[-1], other[-1])
    rows = np.array(data.draw(st.lists(st.integers(0, len(other) - 1), max_size=30)), np.int64)
    np.testing.assert_array_equal(one[rows], other[rows])
    np.testing.assert_array_equal(np.asarray(one[3:17:2]), other[3:17:2])
    mask = np.arange(len(other)) % 3 == 0
    np.testing.assert_array_equal(one[mask], other[mask])
    # What is measured of half a million pictures would not fit.
    assert test or all(isinstance(one.measured.edges, np.memmap) for one in (encoded, array))
    assert (encoded.problems, encoded.rows.tolist()) == (array.problems, array.rows.tolist())
    for mine, theirs in zip(encoded.measured, array.measured, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=25)
@given(st.integers(1, 300), st.data())
def test_an_array_keeps_the_rows_that_are_asked_for_and_is_written_once(tmp_path_factory, n, data):
    images, table = noise(n, 3, n), tmp_path_factory.mktemp("array") / "images.npy"
    rows = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    table.write_bytes(b"an earlier one")
    with store.decoding(table, source(raw_of(images), store="array"), silent) as found:
        kept = [path.name for path in table.parent.iterdir() if path.is_file() and path != table]
        assert kept == [".images.npy.part"] and table.read_bytes() == b"an earlier one"
        store.write_images(table, found, rows)
    store.tidy(table, 0)
    expected = io.BytesIO()
    np.save(expected, images[rows])
    assert contents(table.parent) == {"images.npy": expected.getvalue()}


@settings(max_examples=40)
@given(st.integers(1, 100), st.lists(st.booleans(), min_size=100, max_size=100), st.booleans(), st.data())
def test_an_array_that_was_not_finished_is_gone_on_with_whatever_became_of_its_pixels(
    tmp_path_factory, n, stay, test, data
):
    """Killed while rows are moved together or after: any picture may be at another place, torn, or gone."""
    folder, images = tmp_path_factory.mktemp("torn"), noise(n, 4, n)
    images[n // 2 :: 3] = images[0]  # copies of one
    broken = tuple(data.draw(st.lists(st.integers(1, n - 1), max_size=3))) if n > 1 else ()
    raw, asked = raw_of(images, broken=broken), []
    rows = np.flatnonzero(stay[: n if test else n - len(set(broken))])
    keys: dict[str, Any] = {"store": "array", "test": test}
    table, part = folder / "images.npy", folder / ".images.npy.part"

    def read(start: int, stop: int) -> Any:
        asked.extend(range(start, stop))
        return raw.read(start, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SHARD_BYTES", 1)
        table.write_bytes(b"an earlier one")
        dies = data.draw(st.sampled_from(["before", "moved", "renamed"]))
        with suppress(KeyboardInterrupt), store.decoding(table, source(raw, **keys), silent) as found:
            if dies != "before":
                store.write_images(table, found, rows)
            if dies != "renamed":
                raise KeyboardInterrupt
        assert part.exists() == (dies != "renamed") == (table.read_bytes() == b"an earlier one")
        torn = np.memmap(part if part.exists() else table, np.uint8, "r+", 128)
        for place in data.draw(st.lists(st.integers(0, max(len(torn) // 48 - 1, 0)), max_size=3)):
            torn[place * 48 + 7 :][:90] = 3
        with store.decoding(table, source(replace(raw, read=read), **keys), silent) as found:
            store.write_images(table, found, rows)
    store.tidy(table, 0)
    expected = io.BytesIO()
    readable = images.copy()
    readable[list(broken)] = 0
    np.save(expected, (readable if test else np.delete(images, broken, 0))[rows])
    assert contents(folder) == {"images.npy": expected.getvalue()}
    # What is still there, wherever, is not decoded again: what was torn is, and what had to go.
    assert len(asked) <= 12 + (0 if dies == "before" else n - len(rows))


def test_a_cleaning_that_is_killed_at_any_write_goes_on_to_the_same_bytes(tmp_path):
    made = tmp_path / "project"
    for row, image in enumerate(noise(40, 8)):
        path = made / f"raw/{'ab'[row % 2]}/{row:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(1, 8)[0] if row in (10, 30) else image).save(path)
    (made / "raw/a/02.png").write_bytes(b"damaged")
    (made / "kit.toml").write_text('[data]\ntrain = "raw"\nstore = "array"\n[clean]\nnear = "off"\n')
    (tmp_path / "scratch").mkdir()
    script = [sys.executable, str(Path(__file__).parent / "clean/kills.py"), str(made), str(tmp_path / "scratch")]
    trials = json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout)
    assert len(trials) > 20
    assert [trial for trial in trials if trial != {"codes": [77, 0], "other": []}] == []


def project(root: Path, kept: str, quality: int = 95, size: int = 48, extra: str = "") -> Layout:
    """Cleaned pictures of three classes, some JPEG, some of another size, one damaged and one a copy."""
    for row in range(36):
        name = list(COLOURS)[row % 3]
        path = root / "raw" / name / f"{row:02d}.{'jpg' if row % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(name, max(row, 1) if row % 3 else row, 64 if row % 4 < 2 else 48).save(path)
    (root / "raw/cat/00.png").write_bytes(b"damaged")
    text = f'[data]\ntrain = "raw"\ntest = "raw"\nimage_size = {size}\nstore = "{kept}"\nquality = {quality}\n{extra}'
    layout = Layout(root)
    clean(layout, parse(text), silent)
    return layout


def test_cleaning_finds_the_same_whichever_way_images_are_kept(tmp_path):
    array, *others = (project(tmp_path / kept, kept) for kept in ("array", "encoded", "files"))
    for other in others:
        for name in ("index.csv", "dropped.csv", "noted.csv", "test_index.csv"):
            assert (array.data / name).read_bytes() == (other.data / name).read_bytes()
        for load in (load_images, partial(unlabelled_images, part="test")):
            np.testing.assert_array_equal(load(array), np.asarray(load(other)))
    assert load_record(others[0]).parts == load_record(others[1]).parts  # so that nothing is trained again


def test_files_that_have_the_size_are_kept_as_they_are_and_others_lose_nothing_that_is_not_said(tmp_path):
    layout = project(tmp_path, "encoded", quality=50, size=192, extra="")
    streams = contents(tmp_path / "data/images.shards")["00000.bin"]
    assert b"\xff\xd8\xff" in streams  # JPEG files of 64 px, resized to 192
    digests = [line["sha256"] for line in read_csv(layout.index)]
    images = load_images(layout)
    assert [store.pixel_digests(images[row][None]).tobytes().hex() for row in range(len(images))] == digests
    (tmp_path / "own").mkdir()
    own = project(tmp_path / "own", "encoded", quality=50)
    streams = contents(tmp_path / "own/data/images.shards")["00000.bin"]
    for path in (tmp_path / "own/raw").rglob("*.jpg"):
        with Image.open(path) as image:
            assert (path.read_bytes() in streams) == (image.size == (48, 48))
    assert len(load_images(own)) == len(load_index(own).ids)


KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
PICTURES = st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from([(24, 24), (24, 30)]), st.integers(1, 8))


@settings(max_examples=15)
@given(st.lists(PICTURES, min_size=1, max_size=20), st.booleans())
def test_files_are_left_where_they_are_if_nothing_of_them_changes(tmp_path_factory, pictures, test):
    root = tmp_path_factory.mktemp("files")
    for row, (suffix, size, turned) in enumerate(pictures):
        exif, image = Image.Exif(), Image.fromarray(np.resize(noise(1, 30, row), (*size, 3)))
        exif[decode.ORIENTATION] = turned
        path = root / f"raw/{'ab'[row % 2]}/ä {row:02d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, KINDS[suffix], **({} if suffix == "bmp" else {"exif": exif}))
    (root / "raw/b").mkdir(exist_ok=True)
    data = parse('[data]\ntrain = "raw"\nimage_size = 24').data
    raw, found = open_folder("raw", data, root, "train"), []
    for kept in ("array", "encoded", "files"):
        decoded(root / f"data/{kept}.npy", raw, store=kept, test=test, root=root)
        found.append(open_images(root / f"data/{kept}.npy"))
    for other in found[1:]:
        np.testing.assert_array_equal(np.asarray(other), found[0])
    own = [os.fsdecode(line["path"]) for line in found[2].in_place]
    assert own == [
        str(path.relative_to(root))
        for path in sorted((root / "raw").rglob("*.*"))
        if path.suffix in (".jpg", ".png", ".webp") and pictures[int(path.stem[2:])][1] == (24, 24)
    ]
    whole, left = (
        sum(path.stat().st_size for path in (root / f"data/{kept}.shards").glob("*.bin"))
        for kept in ("encoded", "files")
    )
    assert whole - left == sum((root / path).stat().st_size for path in own)  # nothing is on the disk twice


@pytest.mark.parametrize("harm", ["changed", "longer", "gone"])
def test_a_file_that_is_another_one_is_named_and_cleaning_reads_it_again(tmp_path, harm):
    layout = project(tmp_path, "files")
    config = parse('[data]\ntrain = "raw"\ntest = "raw"\nimage_size = 48\nstore = "files"')
    path = tmp_path / os.fsdecode(load_images(layout).in_place["path"][5])
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" if harm == "longer" else whole[::-1])
    if harm == "gone":
        path.unlink()
    said = f"{re.escape(str(path))} (was changed after it was cleaned|cannot be read: No such file)"
    with pytest.raises(StageError, match=said) as caught:
        np.asarray(load_images(layout))
    assert caught.value.hint == "kit clean"
    clean(layout, config, silent)
    assert len(np.asarray(load_images(layout))) == load_record(layout).kept


def test_a_project_may_be_moved_with_its_files_and_is_cleaned_anew_if_they_are_moved_alone(tmp_path):
    old = project(tmp_path / "old", "files")
    before = np.asarray(load_images(old))
    layout = Layout((tmp_path / "old").rename(tmp_path / "new"))
    np.testing.assert_array_equal(np.asarray(load_images(layout)), before)
    for name, expected in (("raw", ["fresh"]), ("there", ["wrote"])):
        (tmp_path / "new/raw").rename(tmp_path / "new/there").rename(tmp_path / "new" / name)
        config = parse(f'[data]\ntrain = "{name}"\ntest = "{name}"\nimage_size = 48\nstore = "files"')
        heard: list[Event] = []
        clean(layout, config, heard.append)
        assert [event.kind for event in heard if event.kind in ("fresh", "wrote")] == expected
        np.testing.assert_array_equal(np.asarray(load_images(layout)), before)


def test_a_picture_of_two_joined_sources_has_its_own_file():
    one, other = ([jpeg(image) for image in noise(3, seed=seed)] for seed in (1, 2))
    both = joined(raw_of(noise(3), one), raw_of(noise(3), other), "external")
    assert [both.file(row).read_bytes() for row in range(6)] == [*one, *other]
    assert joined(raw_of(noise(3)), raw_of(noise(3), other), "external").file(0) is None


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 1)  # 32 pictures a shard
    monkeypatch.setattr(store, "BLOCK_BYTES", 1)  # and 8 at a time


@pytest.mark.parametrize("kept", ["array", "encoded"])
@pytest.mark.parametrize("fatal", [0, 40, 71, 120])
def test_decoding_that_was_killed_goes_on_to_the_same_bytes(tmp_path, small_shards, fatal, kept):
    raw, asked = raw_of(noise(130), broken=(3, 77)), []

    def read(start: int, stop: int) -> Any:
        asked.extend(range(start, stop))
        if fatal in range(start, stop) and len(asked) <= 130 and not dying:
            dying.append(start)
            raise KeyboardInterrupt
        return raw.read(start, stop)

    dying: list[int] = []
    decoded(tmp_path / "whole/images.npy", raw, store=kept)
    with pytest.raises(KeyboardInterrupt):
        decoded(tmp_path / "killed/images.npy", replace(raw, read=read), store=kept)
    assert not [name for name in contents(tmp_path / "killed") if name.endswith(".tmp")]
    asked.clear()
    decoded(tmp_path / "killed/images.npy", replace(raw, read=read), store=kept)
    assert sorted(asked) == list(range(fatal // 32 * 32, 130))  # finished shards are not decoded again
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_torn_shard_is_refused_and_made_again(tmp_path, harm):
    layout = project(tmp_path, "encoded")
    shard = stored_files(layout.images)[1]
    before = contents(tmp_path / "data/images.shards")
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 2] ^= 1
    shard.write_bytes(bytes(whole) if harm == "flipped" else whole[: len(whole) // 2])
    if harm == "gone":
        shard.unlink()
    with pytest.raises(StageError, match=r"00000.bin (was changed after the kit wrote it|cannot be read)") as caught:
        np.asarray(load_images(layout))
    assert caught.value.hint == "kit clean --force"
    config = parse('[data]\ntrain = "raw"\ntest = "raw"\nimage_size = 48\nstore = "encoded"')
    clean(layout, config, silent, force=True)
    assert contents(tmp_path / "data/images.shards") == before
    assert len(np.asarray(load_images(layout))) == load_record(layout).kept


def test_another_decoder_is_noticed_before_anything_is_read(tmp_path):
    decoded(tmp_path / "images.npy", raw_of(noise(4)))
    table = np.load(tmp_path / "images.npy")
    table["pixels"][0] ^= 1
    np.save(tmp_path / "images.npy", table)
    with pytest.raises(StageError, match=r"decodes .* to other pixels"):
        open_images(tmp_path / "images.npy")


def test_the_store_is_chosen_by_size_and_the_quality_counts_where_there_are_streams(tmp_path):
    few, many = raw_of(noise(4)), replace(raw_of(noise(4)), shape=(20_000, 20_000))
    assert [source(raw, store="auto").is_encoded for raw in (few, many)] == [False, True]
    assert source(few, store="array").made_from == source(few, store="array", quality=5).made_from == {}
    assert source(few).made_from != source(few, quality=5).made_from


def test_no_shard_of_an_earlier_store_is_left(tmp_path, small_shards):
    decoded(tmp_path / "images.npy", raw_of(noise(130)))
    decoded(tmp_path / "images.npy", raw_of(noise(40)))
    assert len([*(tmp_path / "images.shards").glob("*.bin")]) == 2
    decoded(tmp_path / "images.npy", raw_of(noise(40)), store="array")
    assert not [*(tmp_path / "images.shards").glob("*")] and len(stored_files(tmp_path / "images.npy")) == 1


def asked_for(folder: Path, n: int) -> int:
    """Bytes of memory at most while ``n`` pictures are stored and read in blocks."""
    one = noise(1, 128)[0]

    def read(start: int, stop: int) -> Any:
        masks = np.random.default_rng(start).integers(0, 256, (stop - start, 1, 1, 3), np.uint8)
        return one ^ masks, {}

    raw = replace(raw_of(np.zeros((1, 128, 128, 3), np.uint8)), read=read, ids=row_ids(n), labels=np.arange(n) % 2)
    tracemalloc.start()
    try:
        decoded(folder / "images.npy", raw)
        images = open_images(folder / "images.npy")
        for start in range(0, n, 32):
            np.asarray(images[start : start + 32])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_of_a_few_blocks_and_not_of_all_pixels(tmp_path, small_shards, monkeypatch):
    monkeypatch.setattr(store, "THREADS", 2)  # each has a few blocks in hand, as many as the machine's load allows
    assert asked_for(tmp_path, 1200) < 0.5 * 1200 * 128 * 128 * 3


def test_training_says_the_same_of_the_same_pixels(tmp_path):
    extra = '[folds]\nn = 2\n[runs.net]\nbackbone = "plain-cnn"\nstages = [{ train = "all", epochs = 1, lr = 0.5 }]'
    said = []
    for kept in ("array", "encoded", "files"):
        layout = project(tmp_path / kept, kept, size=48, extra=extra)
        config = parse(f'[data]\ntrain = "raw"\ntest = "raw"\nimage_size = 48\nstore = "{kept}"\n{extra}')
        make_folds(layout, config, silent)
        train(layout, config, silent, launch=InProcess(drawn))
        (found,) = layout.runs.glob("net-*/oof.npz")
        said.append(load_predictions(found))
    for other in said[1:]:
        np.testing.assert_array_equal(said[0].ids, other.ids)
        np.testing.assert_array_equal(said[0].logits, other.logits)


@pytest.mark.parametrize("kept", ["encoded", "files"])
def test_a_task_on_a_cluster_has_every_picture(tmp_path, kept):
    extra = '[folds]\nn = 2\n[runs.net]\nbackbone = "plain-cnn"\nstages = [{ train = "all", epochs = 1, lr = 0.5 }]'
    layout = project(tmp_path / "own", kept, extra=extra)
    config = parse(f'[data]\ntrain = "raw"\ntest = "raw"\nimage_size = 48\nstore = "{kept}"\n{extra}')
    make_folds(layout, config, silent)
    spec = plan_runs(layout, config, ["net"])["net"][0]
    spec.paths.root.mkdir(parents=True)
    told = task_spec(Unit("fold", spec), "", Warehouse(Folder(tmp_path / "store")), 0).inputs
    for name, blob in told.items():
        write_atomic(tmp_path / "node" / name, lambda file, blob=blob: file.write(blob.handle.read_bytes()))
    there = Layout(tmp_path / "node")
    for load in (load_images, partial(unlabelled_images, part="test")):
        np.testing.assert_array_equal(np.asarray(load(there)), np.asarray(load(layout)))
    assert not [*(tmp_path / "own").rglob(".*.tmp")]


def test_progress_says_how_many_a_second_and_what_is_left():
    heard: list[Event] = []
    now = iter([0.0, 0.0, 5.0, 20.0, 21.0, 40.0])
    pace = Pace("decoded", 1000, heard.append, lambda: next(now))
    pace(100, before=True)
    for n in (100, 100, 100, 100):
        pace(n)
    assert [event.text for event in heard] == [
        "decoded 300 of 1,000 images, 10 per second, 70 s left",
        "decoded 500 of 1,000 images, 10 per second, 50 s left",
    ]


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 50))
def test_images_with_a_label_are_all_that_can_be_scored_part_by_part(known, part):
    images = noise(len(known), 5, len(known))
    raw = replace(raw_of(images), labels=np.where(known, np.arange(len(known)) % 2, -1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_sets, "BLOCK_BYTES", 75)  # a block is one image
        patch.setattr(raw_sets, "PART_BYTES", part * 75)
        if not any(known):
            with pytest.raises(DataError, match="has a label"):
                next(raw.labelled())
            return
        found = [(pixels.copy(), labels) for pixels, labels in raw.labelled()]
    assert [len(pixels) for pixels, _ in found[:-1]] == [part] * (len(found) - 1)
    np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in found]), images[known])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), (np.arange(len(known)) % 2)[known])
