"""Records, digests and locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.errors import StageError
from kit.store.files import lock, sha256_file
from kit.store.record import KnownDigests, Made, digests_of


class Toy(Made):
    VERSION = 2
    OLDER = (1,)
    COMMAND = "kit toy"
    number: float = 0.0


def written(folder: Path) -> Path:
    (folder / "a.txt").write_text("content")
    record = Toy(made_from={"x": "1"}, files=digests_of(folder, folder / "a.txt"), number=0.5)
    return record.save(folder / "toy.json")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert Toy.load(path).number == 0.5
    assert Toy.fresh(path, {"x": "1"}) == Toy.load(path)


@pytest.mark.parametrize("name", ["toy.json", "a.txt"])
def test_the_hint_to_a_folder_in_the_place_of_a_file_moves_it_away(tmp_path: Path, name: str) -> None:
    path = written(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(StageError, match=f"{name} cannot be read: Is a directory") as caught:
        Toy.fresh(path, {"x": "1"})
    subprocess.run(caught.value.hint, shell=True, check=True)
    assert Toy.fresh(path, {"x": "1"}) is None


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b"{}", b"\xff\xfe{}", b"3", b'{"version": 99}', b'{"version": "2"}', b"[" * 100_000],
    ids=["empty", "list", "no version", "not UTF-8", "number", "newer", "version as text", "deep"],
)
def test_a_damaged_record_is_refused_with_its_file_and_a_command(tmp_path: Path, damage: bytes) -> None:
    path = written(tmp_path)
    path.write_bytes(damage)
    with pytest.raises(StageError, match=r"toy\.json") as caught:
        Toy.load(path)
    assert caught.value.hint == "kit toy"
    with pytest.raises(StageError):
        Toy.fresh(path, {"x": "1"})


@pytest.mark.parametrize("change", [{"number": 0.25}, {"made_from": {"x": "2"}}, {"files": {}}, {"more": 1}])
def test_an_edited_record_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = written(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StageError, match="was changed"):
        Toy.load(path)


def test_an_older_record_is_made_again_and_not_used(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 1}))
    assert Toy.fresh(path, {"x": "1"}) is None
    with pytest.raises(StageError, match="older version of the kit"):
        Toy.load(path)


def test_other_inputs_and_missing_files_are_stale_and_changed_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert Toy.fresh(path, {"x": "2"}) is None
    assert Toy.fresh(path, {"x": "1", "y": "1"}) is None
    (tmp_path / "a.txt").write_text("CONTENT")
    with pytest.raises(StageError, match=r"a\.txt was changed"):
        Toy.fresh(path, {"x": "1"})
    (tmp_path / "a.txt").unlink()
    assert Toy.fresh(path, {"x": "1"}) is None


def test_a_digest_is_remembered_only_for_a_file_that_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = tmp_path / "f", tmp_path / "cache.json"
    file.write_bytes(b"a" * 100)
    first = KnownDigests()
    first.attach(cache)
    assert first.of(file) == sha256_file(file)
    first.save()
    assert not cache.exists(), "the file is younger than the clock's grain is trusted"
    old = time.time() - 60
    os.utime(file, (old, old))
    assert KnownDigests().of(file) == sha256_file(file)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 2_100_000_000)  # the change time cannot be set
    first.of(file)
    first.save()
    assert str(file) in json.loads(cache.read_text())


def test_a_changed_file_is_hashed_again_though_its_size_and_time_were_put_back(tmp_path: Path) -> None:
    file, found = tmp_path / "f", KnownDigests()
    file.write_bytes(b"a" * 100)
    stamp = file.stat()
    before = found.of(file)
    file.write_bytes(b"b" * 100)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert found.of(file) != before


def test_a_damaged_cache_of_digests_costs_only_time(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"a")
    for damage in (b"", b"[]", b"\xff", b'{"x": 3}', b'{"x": [1, 2]}', b"[" * 100_000):
        (tmp_path / "cache.json").write_bytes(damage)
        found = KnownDigests()
        found.attach(tmp_path / "cache.json")
        assert found.of(file) == sha256_file(file)


HOLD = """
import sys
from pathlib import Path
from kit.store.files import lock
sys.argv = ["kit", "train"]
with lock(Path(sys.stdin.readline().strip()), "data/", shared=sys.stdin.readline().strip() == "shared"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(("theirs", "ours", "both"), [(True, True, True), (True, False, False), (False, True, False)])
def test_writers_exclude_everybody_and_readers_exclude_writers(
    tmp_path: Path, theirs: bool, ours: bool, both: bool
) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin and other.stdout
        other.stdin.write(f"{path}\n{'shared' if theirs else 'alone'}\n")
        other.stdin.flush()
        assert other.stdout.readline() == "held\n"
        if both:
            with lock(path, "data/", shared=ours):
                pass
        else:
            with pytest.raises(StageError, match=rf"`kit train` \(process {other.pid}\)"), lock(path, "x", shared=ours):
                pass
        other.stdin.write("\n")
    with lock(path, "data/"):
        pass
