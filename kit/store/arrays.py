"""Named arrays from an ``.npz`` that anybody may have written: it fails in many ways, and its readers see one."""

import lzma
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


def read_arrays(path: Path, names: Collection[str] = ()) -> dict[str, npt.NDArray[Any]]:
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
                    if not names or name in names:
                        found[name] = np.asanyarray(file[name])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UNREADABLE as error:
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: the array {name!r} holds Python objects", f"save {name}.astype(str)") from error
        where = f"{path}: the array {name!r}" if name else str(path)
        raise DataError(f"{where} cannot be read: {' '.join(str(error).split())[:200]}") from error
    return found
