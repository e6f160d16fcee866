"""All raw images, decoded once and measured: as an array in a file without a name, or as shards of a store."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kit.base.arrays import ImageArray, IntArray
from kit.base.events import Emit, Pace
from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources import RawSet
from kit.runs.batches import prefetched
from kit.runs.results import unless_damaged
from kit.runtime import decode
from kit.stages.clean.measured import Measured, measure, pixel_digests
from kit.stages.clean.thumbnails import fitted
from kit.store.arrays import read_arrays
from kit.store.encoded import TABLE, EncodedImages, encode, shard_file
from kit.store.files import refusal, write_atomic
from kit.store.record import Digests, Made, digests_of

NO_LABEL = "no label"
# Raised whenever the same raw images would give other streams, or other measures of them.
VERSION = 1
JPEG = b"\xff\xd8\xff"
KEPT = (JPEG, b"\x89PNG", b"RIFF")  # beginnings of streams that are kept as they are
SMALL = 128  # pixels of a side up to which nothing is lost
BLOCK_BYTES, SHARD_BYTES = 1 << 24, 1 << 29  # of pixels
NO_PIXELS = np.zeros(0, np.uint8)


class Decoded(NamedTuple):
    """Pictures that can be trained on, all of them or a block, or those of the test."""

    images: ImageArray  # (U, H, W, 3)
    rows: IntArray  # (U,) the raw row of each
    problems: dict[int, str]  # the other raw rows and why: they cannot be read, or have no label
    measured: Measured
    streams: Sequence[bytes] = ()  # of a block that is stored as such
    lines: npt.NDArray[Any] = np.zeros(0, TABLE)  # (U,) where all are stored as streams


@dataclass(frozen=True, eq=False)
class Source:
    """Raw images and how they are stored; of a ``test`` each has a row, black where it cannot be read."""

    raw: RawSet
    data: DataConfig
    test: bool = False

    @property
    def is_encoded(self) -> bool:
        """Whether they are stored as streams."""
        return self.data.is_encoded(len(self.raw.ids) * self.raw.picture)

    @property
    def made_from(self) -> Digests:
        """What their store adds to what the data are made from; nothing where it is an array."""
        return {"store": f"{VERSION} {self.data.quality}"} if self.is_encoded else {}

    def blocks(self, rows: range) -> Iterator[Decoded]:
        """The pictures of consecutive raw ``rows``, a few at a time."""
        size = int(np.clip(BLOCK_BYTES // self.raw.picture, 8, 512))
        return prefetched(lambda step: self._block(rows[step * size :][:size]), range(-(-len(rows) // size)))

    def _block(self, rows: range) -> Decoded:
        pixels, problems = self.raw.read(rows.start, rows.stop)
        for row, reason in problems.items() if self.test else ():
            if decode.LACKS in reason:
                raise DataError(f"test image {self.raw.ids[row]!r} cannot be read: {reason}")
        if not self.test:
            problems |= {row: NO_LABEL for row in rows if self.raw.labels[row] < 0}
        found = np.array([row for row in rows if self.test or row not in problems], np.int64)
        images, streams = pixels[found - rows.start], list[bytes]()
        for place, row in enumerate(found.tolist() if self.is_encoded else ()):
            streams.append(self._stream(images[place], row, row not in problems))
        frames, nothing = None, np.zeros((4, len(images), 0))
        if self.raw.sizes is not None and self.data.image_size and self.data.resize == "fit":  # which pads
            frames = fitted(self.raw.sizes[found], self.data.image_size)
        measured = Measured(found, pixel_digests(images), *nothing) if self.test else measure(images, frames)
        return Decoded(images, found, problems, measured, streams)

    def _stream(self, pixels: ImageArray, row: int, readable: bool) -> bytes:
        """The file of a picture that needs no other size, else its pixels encoded: without loss but for a JPEG, whose
        ``pixels`` are then those that every later reader will see."""
        content = self.raw.file(row) if readable else b""
        sizes = self.raw.sizes
        if sizes is not None and tuple(sizes[row]) == self.raw.shape and content.startswith(KEPT):
            return content
        is_lossy = content.startswith(JPEG) and max(self.raw.shape) > SMALL and self.data.quality < 100
        content = encode(pixels, self.data.quality if is_lossy else 0)
        if is_lossy:
            pixels[:] = decode.decode(content)
        return content


@contextmanager
def decoding(table: Path, source: Source, emit: Emit) -> Iterator[Decoded]:
    """Decode all images, to shards beside ``table`` or to a file that is gone when the block or the process ends.

    Shards that an earlier process finished are read, not made again. The file has no name, so that a process that is
    killed leaves nothing, and all its bytes are reserved at the start: a page of a mapped file that finds no room later
    kills the process with SIGBUS.

    Raises `KitError` where the disk has too little room, and `DataError` where a test image needs another library.
    """
    raw = source.raw
    if source.is_encoded:
        with threadpool_limits(1, user_api="blas"):  # as in `plan`
            yield _stored(table, source, emit)
        return
    pace = Pace("clean: decoded", len(raw.ids), emit)
    shape = (len(raw.ids), *raw.shape, 3)
    size = int(np.prod(shape, dtype=np.int64))
    folder = table.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".decoded.*.tmp"):  # of a killed process of an earlier version, whose file had a name
            left.unlink(missing_ok=True)
        file = _reserved(folder, size)
    except OSError as error:
        # As much again as `images.npy`, which is written while this file is there.
        raise refusal(error, f"cannot decode {len(raw.ids)} images in {folder}", folder / "_", 2 * size) from error
    with file, threadpool_limits(1, user_api="blas"):
        mapped = np.memmap(file, np.uint8, "r+", shape=shape)
        blocks, done = [], 0
        for block in source.blocks(range(len(raw.ids))):
            mapped[done : done + len(block.rows)] = block.images
            done += len(block.rows)
            blocks.append(block._replace(images=NO_PIXELS))
            pace(len(block.rows))
        yield _together(mapped[:done], blocks)


def write_images(path: Path, decoded: Decoded, rows: IntArray) -> None:
    """Write some of the images as an array (n, H, W, 3), block by block, or where they lie in the shards."""

    def fill(file: IO[bytes]) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *decoded.images.shape[1:])}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), 64):
            file.write(decoded.images[rows[start : start + 64]].tobytes())

    if len(decoded.lines):
        write_atomic(path, lambda file: np.save(file, decoded.lines[rows]))
    else:
        write_atomic(path, fill, need=len(rows) * int(np.prod(decoded.images.shape[1:])))
        tidy(path, 0)


def _together(images: Any, blocks: Sequence[Decoded]) -> Decoded:
    """All blocks as one, with the ``images`` of all."""
    _, rows, problems, measured, _, lines = zip(*blocks, strict=True)
    found = {row: reason for some in problems for row, reason in some.items()}
    columns = Measured(*map(np.concatenate, zip(*measured, strict=True)))
    return Decoded(images, np.concatenate(rows), found, columns, (), np.concatenate(lines))


def _stored(table: Path, source: Source, emit: Emit) -> Decoded:
    """Write the shards beside ``table`` that are not there, each whole before the next, and remove others."""
    every, size = range(len(source.raw.ids)), int(np.clip(SHARD_BYTES // source.raw.picture, 32, 4096))
    shards = [every[start : start + size] for start in range(0, len(every), size)]
    pace, found = Pace("clean: decoded", len(every), emit), []
    for number, rows in enumerate(shards):
        path = shard_file(table, number)
        made_from = {**source.made_from, "raw": source.raw.fingerprint, "pillow": PIL.__version__, "rows": str(rows)}
        if unless_damaged(partial(Made.fresh, path.with_suffix(".json"), made_from), emit):
            pace(len(rows), before=True)
        else:
            _write_shard(path, source, rows, made_from, pace)
        columns = read_arrays(path.with_suffix(".npz"))
        problems = dict(zip(columns["bad"].tolist(), columns["why"].tolist(), strict=True))
        measured = Measured(*(columns[name] for name in Measured._fields))
        found.append(Decoded(NO_PIXELS, columns["rows"], problems, measured, (), columns["lines"]))
    tidy(table, len(shards))
    lines = np.concatenate([shard.lines for shard in found])
    return _together(EncodedImages(table, lines, source.raw.shape), found)


def _write_shard(path: Path, source: Source, rows: range, made_from: Digests, pace: Pace) -> None:
    """Write the streams of ``rows``, what was measured of them, and last the record that says that both are there."""
    path.with_suffix(".json").unlink(missing_ok=True)
    blocks, lines = list[Decoded](), list[tuple[Any, ...]]()

    def fill(file: IO[bytes]) -> None:
        for block in source.blocks(rows):
            for stream, pixels in zip(block.streams, block.measured.pixels, strict=True):
                digest = np.frombuffer(hashlib.sha256(stream).digest(), np.uint8)
                lines.append((int(path.stem), file.tell(), len(stream), *source.raw.shape, digest, pixels))
                file.write(stream)
            blocks.append(block._replace(images=NO_PIXELS, streams=()))
            pace(len(block.rows))

    write_atomic(path, fill)
    found = _together(NO_PIXELS, blocks)
    bad, why = np.array([*found.problems], np.int64), np.array([*found.problems.values()], np.str_)
    columns = {"lines": np.array(lines, TABLE), "rows": found.rows, "bad": bad, "why": why, **found.measured._asdict()}
    write_atomic(path.with_suffix(".npz"), lambda file: np.savez(file, allow_pickle=True, **columns))
    files = digests_of(path.parent, path, path.with_suffix(".npz"))
    Made(made_from=made_from, files=files).save(path.with_suffix(".json"))


def tidy(table: Path, used: int) -> None:
    """Remove the shards beside ``table`` but for the first ``used``."""
    folder = shard_file(table, 0).parent
    for path in folder.glob("[0-9]*.*"):
        if int(path.stem) >= used:
            path.unlink()
    for path in folder.glob(".*.tmp"):  # of a process that was killed
        path.unlink()


def _reserved(folder: Path, size: int) -> IO[bytes]:
    """A file without a name whose ``size`` bytes are its own; raises `OSError` where they are not there."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(folder).free < size:  # macOS, where only the free space can be asked for
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        else:
            file.truncate(size)
    except OSError:
        file.close()
        raise
    return file
