"""Pictures kept as JPEG, WebP and PNG streams, one after another in a few files, and read like an array of pixels.

``NAME.npy`` is then not the pixels but a table of `TABLE`, a line a picture, that says where each one lies in the
folder ``NAME.shards``, or as a file of its own where `referring` says.
"""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.errors import StageError
from kit.runtime import decode

# `sha256` is of the stream, and `pixels` of what the decoder made of it when it was written.
TABLE = np.dtype([
    ("shard", "<u4"), ("start", "<u8"), ("size", "<u4"), ("height", "<u4"), ("width", "<u4"),
    ("sha256", "u1", 32), ("pixels", "u1", 32),
])  # fmt: skip
# The shard of pictures that are files of their own. Where it exists, on the machines of a cluster, they are in it.
IN_PLACE = (1 << 32) - 1
THREADS = min(8, os.cpu_count() or 1)
TASK = 8  # pictures a task: one costs less than a switch between threads where they are small
LARGEST_WEBP = 16_383  # pixels of a side
COMMAND = "kit clean --force"
AGAIN = "kit clean"


def shard_file(table: Path, number: int) -> Path:
    """The streams of one shard of the pictures in ``table``."""
    return table.with_suffix(".shards") / f"{number:05d}.bin"


def referring(longest: int) -> np.dtype[Any]:
    """`TABLE` with the path, of at most ``longest`` bytes, of each file below the project's folder that stays there."""
    return np.dtype([*TABLE.descr, ("path", f"S{max(longest, 1)}")])


def stored_files(path: Path) -> list[Path]:
    """The file at ``path`` and the shards that it names if it is a table."""
    table: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else np.zeros(0)
    numbers = np.unique(table["shard"]).tolist() if table.dtype.names else ()
    return [path, *(shard_file(path, number) for number in numbers if number != IN_PLACE)]


def encode(pixels: ImageArray, quality: int) -> bytes:
    """A picture (H, W, 3) as JPEG of a ``quality`` up to 100, or without loss for 0."""
    content, image = io.BytesIO(), Image.fromarray(pixels)
    if quality:
        image.save(content, "JPEG", quality=quality)
    elif max(image.size) <= LARGEST_WEBP:
        # Four times as fast as PNG, and no larger: benchmarks/large.py.
        image.save(content, "WEBP", lossless=True, quality=0, method=0)
    else:
        image.save(content, "PNG")
    return content.getvalue()


class EncodedImages:
    """Images (N, H, W, 3) uint8, read-only; ``images[rows]`` decodes, a slice is a view, as of a memory-mapped file.

    Rows are decoded by as many threads as there are cores; that changes no byte. Every stream is held against its
    digest when it is read: raises `StageError` where one is missing or is not the one that was written.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, path: Path, table: npt.NDArray[Any], size: tuple[int, int]) -> None:
        self._path, self._table, self._size = path, table, size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self._table), *self._size, 3)

    def __len__(self) -> int:
        return len(self._table)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[np.arange(len(self))], dtype)

    def __getitem__(self, rows: int | slice | Sequence[int] | IntArray) -> Any:
        chosen = self._table[rows]
        if isinstance(rows, slice):
            return EncodedImages(self._path, chosen, self._size)
        if not chosen.ndim:
            return self._one(chosen)
        images = np.empty((len(chosen), *self._size, 3), np.uint8)

        def fill(start: int) -> None:
            for place in range(start, min(start + TASK, len(chosen))):
                images[place] = self._one(chosen[place])

        for _ in _pool(os.getpid()).map(fill, range(0, len(chosen), TASK)):
            pass
        return images

    def checked(self) -> "EncodedImages":
        """Itself; raises `StageError` where the libraries here do not decode the first picture as cleaning did."""
        if hashlib.sha256(self._one(self._table[0]).tobytes()).digest() != self._table[0]["pixels"].tobytes():
            raise StageError(f"Pillow {Image.__version__} decodes {self._path} to other pixels", COMMAND)  # type: ignore[attr-defined]
        return self

    @property
    def in_place(self) -> npt.NDArray[Any]:
        """The lines of files that are read in place."""
        return np.asarray(self._table[self._table["shard"] == IN_PLACE])

    def contents(self) -> Iterator[bytes]:
        """The files that are read in place, as they stand one after another in the shard `IN_PLACE`."""
        return (self._content(line)[1] for line in self.in_place)

    def _content(self, line: Any) -> tuple[Path, bytes]:
        path, start, size = shard_file(self._path, int(line["shard"])), int(line["start"]), int(line["size"])
        told, hint = "the kit wrote it", COMMAND
        if line["shard"] == IN_PLACE and not path.exists():
            path, start, size = self._path.parents[1] / os.fsdecode(line["path"]), 0, size + 1
            told, hint = "it was cleaned", AGAIN
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                content = file.read(size)
        except OSError as error:
            raise StageError(f"{path} cannot be read: {error.strerror}", hint) from error
        if hashlib.sha256(content).digest() != line["sha256"].tobytes():
            raise StageError(f"{path} was changed after {told}", hint)
        return path, content

    def _one(self, line: Any) -> ImageArray:
        path, content = self._content(line)
        try:
            return decode.decode(content)  # type: ignore[no-any-return]
        except decode.Unreadable as error:  # Pillow without WebP, say
            raise StageError(f"{path} cannot be read: {error}", COMMAND) from error


@lru_cache(1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of a ``process``: a fork has none of those that its parent had."""
    warnings.filterwarnings("ignore", module="PIL")  # odd files were told of when they were cleaned
    return ThreadPoolExecutor(THREADS, "decode")


def open_images(path: Path) -> ImageArray:
    """The images at ``path``, memory-mapped or decoded as they are read; raises `StageError` where they cannot be."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read: {error}", COMMAND) from error
    if not found.dtype.names:
        return found  # type: ignore[no-any-return]
    size = int(found[0]["height"]), int(found[0]["width"])
    return EncodedImages(path, found, size).checked()  # type: ignore[return-value]
