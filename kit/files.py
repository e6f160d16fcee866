"""Writing, hashing and locking: the only place that opens a file for writing.

A reader sees the old file or the new one, never a part of one: content goes to a temporary file in the same
folder, is synced, and takes the place of the old file in one step.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kit.errors import KitError, StageError

CHUNK = 1 << 20
# The oldest date a zip can hold: a rebuilt archive must not differ by the hour it was made in.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def write_atomic(path: Path, content: bytes | str | Callable[[IO[bytes]], object]) -> Path:
    """Write ``content`` to ``path`` in one step that a crash cannot halve.

    ``content`` is bytes, text (stored as UTF-8), or a function that writes to the open file given to it.

    Raises
    ------
    KitError
        Where the disk is full, or the folder cannot be written; what was at ``path`` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _fill(file, content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise KitError(f"cannot write {path}: {error.strerror}", "free some space: df -h .") from error
    return path


def _fill(file: IO[bytes], content: bytes | str | Callable[[IO[bytes]], object]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> Path:
    """Write ``value`` as indented JSON with sorted keys, so that versions of the file can be compared."""
    return write_atomic(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that the kit wrote.

    Raises
    ------
    StageError
        Where the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} is missing") from None
    except ValueError as error:
        raise StageError(f"{path} is not JSON: {error}", f"delete it and run the command again: rm {path}") from error


def append_log(path: Path, value: object) -> None:
    """Append one line of JSON; a line that a kill left unfinished stays a line of its own."""
    with path.open("ab+") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        whole = file.read(1) in (b"", b"\n")
        file.write((b"" if whole else b"\n") + json.dumps(value).encode() + b"\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """What `append_log` wrote, without unfinished lines; nothing where there is no file."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    """Write a comma-separated table with one header line and Unix line ends."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(header))
    writer.writerows(rows)
    return write_atomic(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table written by `write_csv` as a list of rows; a missing file is a `StageError`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise StageError(f"{path} is missing") from None


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(value: object) -> str:
    """Hexadecimal SHA-256 of a JSON-able value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_fresh(manifest: Path, key: str, outputs: Iterable[Path]) -> bool:
    """Whether ``manifest`` was written for the inputs that ``key`` hashes and all its ``outputs`` are still there."""
    if not manifest.exists() or not all(path.exists() for path in outputs):
        return False
    return bool(read_json(manifest).get("key") == key)


@contextmanager
def lock(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock while the block runs; the system releases it however the process ends.

    Raises
    ------
    StageError
        Where another process holds it, unless to ``wait`` for it was asked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise StageError(
                f"another process is working on {what}", f"wait for it, or see who holds it: fuser {path}"
            ) from None
        yield


def write_zip(path: Path, members: Mapping[str, Path | bytes]) -> Path:
    """Write a zip whose bytes depend on the members' names and contents alone.

    Members are stored uncompressed (weights do not compress) in the order of their names.
    """

    def fill(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                _add_member(archive, name, members[name])

    return write_atomic(path, fill)


def _add_member(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    info = zipfile.ZipInfo(name, ZIP_DATE)
    info.external_attr = 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as target:
        if isinstance(content, bytes):
            target.write(content)
            return
        with content.open("rb") as source:
            while chunk := source.read(CHUNK):
                target.write(chunk)
