"""Image files as a `RawSet`: hashed and decoded in blocks by a pool of threads."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from kit.base.arrays import ImageArray
from kit.base.events import HEARD, Pace
from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources.raw import Held, RawSet, Rows
from kit.runtime import decode
from kit.store.files import sha256_json
from kit.store.record import DIGESTS

# Pillow, hashlib and reading release the interpreter lock; more threads than this wait for the disk alone.
THREADS = min(8, os.cpu_count() or 1)
TASK = 16
T = TypeVar("T")
R = TypeVar("R")
MISSING = "no such file"


def open_images(rows: Rows, paths: Sequence[Path | Held | None], data: DataConfig, what: str) -> RawSet:
    """Hash every file, None where it is not there, and give a reader of them; ``what`` names the images in an error.

    Raises `DataError` where `image_size` is not set and the files have several sizes, or none of them can be read.
    """
    scanned = _scan(paths)
    lacking = next((f": {digest.partition(' ')[2]}" for digest, _ in scanned if decode.LACKS in digest), "")
    files, sizes = [digest for digest, _ in scanned], [size for _, size in scanned]
    shape = (data.image_size, data.image_size) if data.image_size else _common_shape(sizes, what, lacking)

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        images, reasons = _decoded(paths[start:stop], files[start:stop], shape, data)
        return images, {start + place: reason for place, reason in enumerate(reasons) if reason}

    content = {
        "decoder": decode.VERSION,
        "size": data.image_size,
        "resize": data.resize if data.image_size else "",
        "ids": rows.ids,
        "labels": rows.labels.tolist(),
        "groups": rows.groups,
        "weights": None if rows.weights is None else rows.weights.tolist(),
        "files": files,
        **({} if rows.targets is None else {"task": rows.task.name, "targets": rows.targets.tolist()}),
    }
    in_files = np.array([size or (0, 0) for size in sizes], np.int64).reshape(-1, 2)
    found = sha256_json(content)
    return RawSet(**vars(rows), shape=shape, read=read, fingerprint=found, sizes=in_files, file=paths.__getitem__)


def _decoded(
    paths: Sequence[Path | Held | None], digests: Sequence[str], shape: tuple[int, int], data: DataConfig
) -> tuple[ImageArray, list[str]]:
    """Images (N, H, W, 3) uint8, zero where one cannot be read, and why that is; `DataError` where one was changed."""
    images = np.zeros((len(paths), *shape, 3), np.uint8)

    def fill(row: int) -> str:
        path = paths[row]
        if path is None:
            return MISSING
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != digests[row].partition(" ")[0]:
                raise DataError(f"{path} was changed after it was hashed", "run the same command again")
            pixels = decode.decode(content, data.image_size, data.resize)
        except OSError as error:
            return f"cannot be read: {error.strerror}"
        except decode.Unreadable as error:
            return str(error)
        if pixels.shape[:2] != shape:
            return f"{pixels.shape[0]} x {pixels.shape[1]} pixels, but the others have {shape[0]} x {shape[1]}"
        images[row] = pixels
        return ""

    return images, _in_threads(fill, range(len(paths)))


def _scan(paths: Sequence[Path | Held | None]) -> list[tuple[str, tuple[int, int] | None]]:
    """SHA-256 of every file, and height and width from its header, None where it has none."""

    def one(path: Path | Held | None) -> tuple[str, tuple[int, int] | None]:
        if path is None:
            return MISSING, None
        try:
            if isinstance(path, Held):
                content = path.read_bytes()
                digest, size = hashlib.sha256(content).hexdigest(), measure(content)
            else:
                digest, size = DIGESTS.of_image(path, measure)
            if size:
                return digest, (size[0], size[1])
            # Perhaps for want of a library, now or when it was measured first: another image then.
            return digest, decode.header_size(path.read_bytes())
        except decode.LacksLibrary as error:
            return f"{digest} {error}", None
        except decode.Unreadable:
            return digest, None
        except OSError as error:
            return f"cannot be read: {error.strerror}", None

    def measure(content: bytes) -> tuple[int, ...]:
        try:
            return decode.header_size(content)
        except decode.Unreadable:
            return ()

    return _in_threads(one, paths, Pace("hashed", len(paths), HEARD.get()))


def _in_threads(function: Callable[[T], R], values: Sequence[T], pace: Callable[[int], None] | None = None) -> list[R]:
    """``[function(value) for value in values]``, a few values a task: a task costs as much as a small file."""

    def several(start: int) -> list[R]:
        return [function(value) for value in values[start : start + TASK]]

    found: list[R] = []
    with decode.quiet(), ThreadPoolExecutor(THREADS) as pool:
        for part in pool.map(several, range(0, len(values), TASK)):
            found += part
            if pace:
                pace(len(part))
    return found


def _common_shape(shapes: list[tuple[int, int] | None], what: str, lacking: str) -> tuple[int, int]:
    counts = Counter(shape for shape in shapes if shape is not None)
    if not counts:
        raise DataError(f"{what}: none of {len(shapes)} files can be read as an image{lacking}")
    if len(counts) > 1:
        listed = ", ".join(f"{height} x {width} ({n})" for (height, width), n in counts.most_common(3))
        # The smallest usual side that keeps what half of the images show, 224 at most.
        side = np.median([min(shape) for shape in counts.elements()])
        usual = next((usual for usual in (32, 64, 96, 128, 160, 192) if usual >= side), 224)
        sizes = f"{what}: images have {len(counts)} different sizes, most often {listed}"
        raise DataError(sizes, f"[data] image_size = {usual}")
    return next(iter(counts))
