"""Writing, locking and hashing: the only place that opens a file for writing.

A reader sees the old file or the new one, never a part of one: content goes to a temporary file in the same
folder, is synced, and takes the place of the old file in one step.

Locks keep those who write an artefact apart from those who read it. The system releases a lock however its holder ends.
The lock's file lists the processes that took it, so that whoever is kept out learns by whom; a line of a process that
is gone means nothing.
"""

import csv
import errno
import fcntl
import hashlib
import io
import json
import os
import secrets
import shlex
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kit.base.text import guarded, text_of, unguarded
from kit.errors import DataError, KitError, StageError

CHUNK = 1 << 20
LONGEST_LOCK = 4096  # bytes of a list of holders before those that are gone are removed
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "lost+found", "$RECYCLE.BIN")
# The oldest date a zip can hold: a rebuilt archive must not differ by the hour it was made in.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
Content = bytes | str | Callable[[IO[bytes]], object]

# What the system may refuse through no fault of the kit's, and what to type then; `{folder}` is the file's.
REFUSALS = {
    errno.ENOSPC: "free some space: df -h {folder}",
    errno.EDQUOT: "free some space: quota -s",
    errno.EFBIG: "ulimit -f unlimited",
    errno.EACCES: "ls -ld {folder}",
    errno.EPERM: "ls -ld {folder}",
    errno.EROFS: "copy the project to a writable folder: cp -r . ~/project",
    errno.EMFILE: "ulimit -n 1024",
    errno.ENFILE: "sysctl fs.file-nr",
    errno.ENOMEM: "ulimit -v unlimited, or in kit.toml: [train] workers = 1",
    errno.EAGAIN: "ulimit -u unlimited, or in kit.toml: [train] workers = 1",
    errno.EIO: "df -h {folder}",
    errno.ESTALE: "df -h {folder}",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "ls -l {folder}",
    errno.ENOTDIR: "ls -ld {folder}",
    errno.EISDIR: "give the path of a file, or move the folder away",
    errno.EPIPE: "the program at the other end has ended",
}
# What threads and shared libraries say where there is no memory, in errors of other classes.
NO_MEMORY = ("can't start new thread", "failed to map segment", "Cannot allocate memory")


def mendable(error: Exception) -> KitError | None:
    """What the user can mend: a `KitError`, or a refusal of the system on one line; None for a mistake of the kit."""
    if isinstance(error, KitError):
        return error
    if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
        return refusal(OSError(errno.ENOMEM, "not enough memory"), "the command cannot continue", Path())
    if isinstance(error, OSError) and error.errno in REFUSALS:
        path = Path(str(error.filename or "."))
        return refusal(error, f"cannot use {path}" if error.filename else "the command cannot continue", path)
    return None


def refusal(error: OSError, what: str, path: Path, need: int = 0) -> KitError:
    """The error where the system refused ``what``, with the bytes that it would ``need`` where they are known."""
    said, folder = error.strerror or str(error), path.parent
    if error.errno == errno.ENOENT and path.is_symlink():
        said = f"it is a link to {path.readlink()}, which does not exist"
    if error.errno == errno.EEXIST:
        said = f"{error.filename} is not a folder"
    if error.errno == errno.EACCES:  # one that cannot be entered does not show what is in it
        folder = next((one for one in reversed(path.parents) if not os.access(one, os.X_OK)), folder)
    if error.errno == errno.ENOSPC:
        with suppress(OSError):
            free = f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB are free"
            said += f"; {need / 1e6:.1f} MB are needed, {free}" if need else f"; {free}"
    hint = REFUSALS.get(error.errno or 0, REFUSALS[errno.ELOOP])
    return KitError(f"{what}: {said}", hint.format(folder=shlex.quote(str(folder))))


def write_atomic(path: Path, content: Content, *, need: int = 0) -> Path:
    """Write ``content`` to ``path`` in one step that a crash cannot halve; the mode of the file is what umask leaves.

    ``content`` is bytes, text (stored as UTF-8), or a function that writes to the open file given to it; ``need`` is
    how many bytes that will be, for the message where they find no room. A link is followed; a device or a pipe is
    written to.

    Raises `KitError` where the disk is full, or the folder cannot be written; what was at ``path`` is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if path.exists() else stat.S_IFREG
        if stat.S_ISREG(mode):
            with replacing(path) as file:
                data(file) if callable(data) else file.write(data)
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        else:
            # A device or a pipe cannot be sought in: the content is made first.
            made = io.BytesIO(b"" if callable(data) else data)
            if callable(data):
                data(made)
            path.write_bytes(made.getbuffer())
    except OSError as error:
        size = len(data) if isinstance(data, bytes) else need
        raise refusal(error, f"cannot write {path}", path, size) from error
    return path


def unfinished(path: Path) -> Path:
    """Where a file is kept that takes long to make, until it takes the place of ``path``."""
    path = Path(os.path.realpath(path))
    return path.with_name(f".{path.name[:50]}.part")


@contextmanager
def replacing(path: Path, part: Path | None = None) -> Iterator[IO[bytes]]:
    """A new file that takes the place of ``path`` when the block ends, and is gone where it raises; or ``part``, which
    may be there already, and stays."""
    path = Path(os.path.realpath(path))
    # Not mkstemp, whose files are for their owner alone whatever umask says. With the whole of a long name before the
    # suffix the temporary one would be too long.
    temporary = part or path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch(exist_ok=part is not None)
        with temporary.open("r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        if part is None:
            temporary.unlink(missing_ok=True)
        raise
    # The new name is an entry of the folder, which has to reach the disk as well.
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> Path:
    """Write ``value`` as indented JSON with sorted keys, so that versions of the file can be compared."""
    return write_atomic(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


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


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]], *, for_people: bool = False) -> Path:
    """Write a table with Unix line ends; where it is ``for_people`` with spreadsheets, its cells are `guarded`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(header))
    writer.writerows([guarded(cell) for cell in row] if for_people else row for row in rows)
    return write_atomic(path, text.getvalue())


def read_text(path: Path) -> str:
    """The text of a file, as `text_of` reads it; raises `DataError` where it is unreadable or in another encoding."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return text_of(content, path, DataError)


def read_csv(path: Path, *, for_people: bool = False) -> list[dict[str, str]]:
    """The rows of `write_csv`; `StageError` where it is missing, `DataError` where it was saved as something else."""
    if not path.exists():
        raise StageError(f"{path} is missing")
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a table: {error}") from error
    if not for_people:
        return rows
    return [{name: unguarded(cell) for name, cell in row.items() if isinstance(cell, str)} for row in rows]


def is_litter(name: str) -> bool:
    """Whether a path ends in, or lies in, what systems leave behind: hidden files, ``__MACOSX``, thumbnails."""
    parts = name.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part in LITTER for part in parts)


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: object) -> str:
    """Hexadecimal SHA-256 of a JSON-able value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_zip(path: Path, members: Mapping[str, Path | bytes]) -> Path:
    """Write a zip whose bytes depend on names and contents alone: sorted, and stored, for weights do not compress."""

    def fill(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                info, content = zipfile.ZipInfo(name, ZIP_DATE), members[name]
                info.external_attr = 0o644 << 16
                source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
                with source, archive.open(info, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, CHUNK)

    return write_atomic(path, fill)


@contextmanager
def lock(path: Path, what: str, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the lock at ``path`` while the block runs: alone, or with other ``shared`` holders, who can do without it.

    Raises `StageError` where a process that excludes this one holds it, unless to ``wait`` was asked, and `KitError`
    where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        if shared:
            yield
            return
        raise KitError(f"cannot write {path}: {error.strerror}", f"ls -ld {shlex.quote(str(path.parent))}") from error
    with file:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, mode | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            hint = "wait for it to end, then run the same command"
            raise StageError(f"{_holders(file) or 'another process'} is working on {what}", hint) from None
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        with suppress(OSError):  # a disk without room for a line is no reason to stop
            if not shared or os.fstat(file.fileno()).st_size > LONGEST_LOCK:
                file.truncate(0)
            file.write(f"{os.getpid()} kit {command}\n")
            file.flush()
        yield


def _holders(file: IO[str]) -> str:
    """The holders that are alive, by command and number; empty where none of those listed is."""
    file.seek(0)
    found = {}
    for line in file.read().splitlines():
        pid, _, command = line.partition(" ")
        with suppress(ProcessLookupError, ValueError, OverflowError):
            with suppress(PermissionError):  # it is alive, and another user's
                os.kill(int(pid), 0)
            if int(pid) != os.getpid():
                found[pid] = f"`{command.strip()}` (process {pid})"
    return " and ".join(found.values())
