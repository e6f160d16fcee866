"""Named arrays from an ``.npz`` that anybody may have written: it fails in many ways, and its readers see one."""

import errno
import gzip
import io
import lzma
import math
import os
import shutil
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from kit.errors import DataError
from kit.store.files import refusal, replacing, unfinished

# What zipfile and numpy raise on archives and headers that are damaged, besides BadZipFile: names that are not text
# (ValueError), unknown compression or encryption (RuntimeError), streams cut off, headers that are not Python literals
# or ask for more memory than there is. Found by flipping every byte of an archive (tests/test_store.py).
UNREADABLE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError,
    MemoryError, RuntimeError, SyntaxError, tokenize.TokenError, zlib.error, lzma.LZMAError, struct.error,
)  # fmt: skip


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz``; with ``names`` only those of them that it has. Nothing is unpickled.

    Raises `DataError` where the file is missing, damaged, not an ``.npz``, or an array in it holds Python objects.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    name = ""
    try:
        # Opened here: numpy leaves the file open where it is not an archive.
        with path.open("rb") as opened:
            if opened.read(2) != b"PK":
                raise DataError(f"{path} is not an npz file, which is a zip archive of arrays")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                for name in file.files:
                    if names is None or name in names:
                        found[name] = np.asanyarray(file[name])
    except UNREADABLE as error:
        raise _refusal(path, name, error) from error
    return found


def array_names(path: Path) -> tuple[str, ...]:
    """The names of the arrays of an ``.npz``, of which none is read; raises `DataError` as `read_arrays` does."""
    read_arrays(path, ())
    with zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def read_array(path: Path) -> npt.NDArray[Any]:
    """The array of an ``.npy``, memory-mapped and read-only, or of an idx file like MNIST's. Nothing is unpickled.

    Raises `DataError` where the file is missing, damaged, not what its name says, or holds Python objects.
    """
    try:
        if "-ubyte" in path.name and path.suffix != ".npy":
            return _read_idx(path)
        with path.open("rb") as opened:
            if opened.read(6) != np.lib.format.MAGIC_PREFIX:
                raise DataError(f"{path} is not an npy file, which holds one array")
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except UNREADABLE as error:
        raise _refusal(path, path.stem, error) from error


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file, which may be packed by gzip: a magic number, the shape, the content."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        zero, kind, dimensions = struct.unpack(">HBB", file.read(4))
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        content = file.read()
    if (zero, kind) != (0, 8) or len(content) != math.prod(shape):
        raise DataError(f"{path} is not an idx file of bytes, or is cut off")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _refusal(path: Path, name: str, error: Exception) -> DataError:
    """The error of a file that cannot be read, perhaps for its array ``name``."""
    if isinstance(error, OSError):
        return DataError(f"{path} cannot be read: {error.strerror or error}")
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        hint = f"save {name}.astype(str), or images of one size as np.stack({name})"
        return DataError(f"{path}: the array {name!r} holds Python objects", hint)
    where = f"{path}: the array {name!r}" if name else str(path)
    return DataError(f"{where} cannot be read: {' '.join(str(error).split())[:200]}")


@contextmanager
def room_for(path: Path, shape: tuple[int, ...], is_begun: bool) -> Iterator[tuple[IO[bytes], npt.NDArray[np.uint8]]]:
    """A file and, mapped from it, an array of bytes that take the place of ``path`` when the block ends, and else stay;
    where it ``is_begun`` what is at ``path`` itself if that had just taken its place.

    All bytes are reserved at the start: a page of a mapped file that finds no room later kills the process with SIGBUS.
    Raises `KitError` where there are not so many.
    """
    header, part = header_of(shape), unfinished(path)
    size = len(header) + math.prod(shape)
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in [*path.parent.glob(f".{path.name}.*.tmp"), *path.parent.glob(".decoded.*.tmp")]:
                left.unlink(missing_ok=True)  # of an earlier version that was killed
            if is_begun and path.exists() and not part.exists():
                path.resolve().replace(part)
            file = stack.enter_context(replacing(path, part))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:  # macOS, where only the free space can be asked for
                if shutil.disk_usage(part).free < size - 512 * part.stat().st_blocks:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.truncate(size)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise refusal(error, f"cannot decode {shape[0]} images in {path.parent}", path, size) from error
        yield file, np.memmap(file, np.uint8, "r+", len(header), shape)


def header_of(shape: tuple[int, ...]) -> bytes:
    """What an ``.npy`` of bytes begins with, equally long whatever its number of rows."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()
