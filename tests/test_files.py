"""The one writer: old or new, never a part."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import KitError
from kit.store.files import (
    append_log,
    read_csv,
    read_log,
    sha256_json,
    write_atomic,
    write_csv,
    write_json,
    write_zip,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a.txt", "old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"half of the new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_error_that_says_so_and_loses_nothing(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a.txt", "old")

    def full(file: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(KitError, match="No space left") as caught:
        write_atomic(path, full)
    assert caught.value.hint
    assert path.read_text() == "old"


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a.txt", "old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from kit.store.files import write_atomic\n"
        "def fill(file):\n"
        "    file.write(b'new' * 1000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(Path(sys.argv[1]), fill)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(st.dictionaries(names, st.binary(max_size=64), min_size=1, max_size=6), st.randoms())
def test_a_zip_depends_on_names_and_contents_alone(tmp_path_factory, members, random) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("zip")
    shuffled = list(members.items())
    random.shuffle(shuffled)
    first = write_zip(folder / "a.zip", members)
    second = write_zip(folder / "b.zip", dict(shuffled))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == members


@given(st.dictionaries(names, st.integers() | st.text() | st.none()))
def test_the_hash_of_json_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert sha256_json(value) == sha256_json(dict(reversed(value.items())))


def test_tables_and_json_come_back_as_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("id", "text"), [("1", 'a "quoted", comma'), ("2", "line\nbreak")])
    assert [row["text"] for row in read_csv(tmp_path / "t.csv")] == ['a "quoted", comma', "line\nbreak"]
    write_json(tmp_path / "t.json", {"b": [1, 2.5], "a": None})
    assert json.loads((tmp_path / "t.json").read_bytes()) == {"b": [1, 2.5], "a": None}


def test_a_line_that_a_kill_left_unfinished_costs_no_other_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert read_log(log) == []
    append_log(log, {"n": 1})
    with log.open("a") as file:
        file.write('{"n": ')
    append_log(log, {"n": 2})
    append_log(log, {"n": 3})
    assert read_log(log) == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"id,a\n\xff,1\n", "is not UTF-8"), (b"id,a\n\0,1\n", "NUL byte"), (b'id,a\n"' + b"9" * 200_000, "as a table")],
)
def test_a_table_that_is_no_text_is_an_error_with_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(KitError, match=said) as caught:
        read_csv(path)
    assert str(path) in caught.value.message


def test_a_table_saved_with_a_byte_order_mark_or_as_utf_16_is_read_as_it_was(tmp_path: Path) -> None:
    text = "id,a\nü,1\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "t.csv").write_bytes(text.encode(encoding))
        assert read_csv(tmp_path / "t.csv") == [{"id": "ü", "a": "1"}]
