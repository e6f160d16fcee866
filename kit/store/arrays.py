"""Named arrays from an ``.npz`` that anybody may have written: it fails in many ways, and its readers see one."""

import gzip
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.errors import DataError

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
