"""All raw images, decoded once and measured: as an array in a file, or as shards of a store, either part by part."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
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
from kit.store.arrays import header_of, read_arrays, room_for
from kit.store.encoded import IN_PLACE, TABLE, THREADS, EncodedImages, encode, referring, shard_file
from kit.store.files import unfinished, write_atomic
from kit.store.record import Digests, Made, digests_of

NO_LABEL = "no label"
# Raised whenever the same raw images would give other streams, or other measures of them.
VERSION = 2
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
    streams: Sequence[tuple[bytes, bytes]] = ()  # of a block that is stored as such: path of what stays, content
    lines: npt.NDArray[Any] = np.zeros(0, TABLE)  # (U,) where all are stored as streams; see `referring` too
    file: IO[bytes] | None = None  # that ``images`` are mapped from, else


@dataclass(frozen=True, eq=False)
class Source:
    """Raw images and how they are stored; of a ``test`` each has a row, black where it cannot be read."""

    raw: RawSet
    data: DataConfig
    root: Path  # of the project
    test: bool = False

    @property
    def is_encoded(self) -> bool:
        """Whether they are stored as streams."""
        return self.data.is_encoded(len(self.raw.ids) * self.raw.picture)

    @property
    def made_from(self) -> Digests:
        """What their store adds to what the data are made from; nothing where it is an array."""
        places = hashlib.sha256(b"\0".join(self.places)).hexdigest() if self.places else ""
        return {"store": f"{VERSION} {self.data.quality} {places}".strip()} if self.is_encoded else {}

    @cached_property
    def places(self) -> list[bytes]:
        """The path of each file that may be read in place, below the project's root; empty if it is in another file."""
        every, above = range(len(self.raw.ids) if self.data.store == "files" else 0), f"{self.root}{os.sep}"
        files = map(self.raw.file, every)
        return [os.fsencode(str(file).removeprefix(above)) if isinstance(file, Path) else b"" for file in files]

    @property
    def table(self) -> np.dtype[Any]:
        """What a line says of a picture."""
        return referring(max(map(len, self.places))) if self.places else TABLE

    def blocks(self, rows: range) -> Iterator[Decoded]:
        """The pictures of consecutive raw ``rows``, a few at a time."""
        size = int(np.clip(BLOCK_BYTES // self.raw.picture, 8, 512))
        steps = range(-(-len(rows) // size))
        return prefetched(lambda step: self._block(rows[step * size :][:size]), steps, THREADS)

    def _block(self, rows: range) -> Decoded:
        pixels, problems = self.raw.read(rows.start, rows.stop)
        for row, reason in problems.items() if self.test else ():
            if decode.LACKS in reason:
                raise DataError(f"test image {self.raw.ids[row]!r} cannot be read: {reason}")
        if not self.test:
            problems |= {row: NO_LABEL for row in rows if self.raw.labels[row] < 0}
        found = np.array([row for row in rows if self.test or row not in problems], np.int64)
        images = pixels if len(found) == len(pixels) else pixels[found - rows.start]  # which copies
        streams = list[tuple[bytes, bytes]]()
        for place, row in enumerate(found.tolist() if self.is_encoded else ()):
            streams.append(self._stream(images[place], row, row not in problems))
        frames, nothing = None, np.zeros((4, len(images), 0))
        if self.raw.sizes is not None and self.data.image_size and self.data.resize == "fit":  # which pads
            frames = fitted(self.raw.sizes[found], self.data.image_size)
        measured = Measured(found, pixel_digests(images), *nothing) if self.test else measure(images, frames)
        return Decoded(images, found, problems, measured, streams)

    def _stream(self, pixels: ImageArray, row: int, readable: bool) -> tuple[bytes, bytes]:
        """The file of a picture that needs no other size, and where it is if it stays there, else its pixels encoded:
        without loss but for a JPEG, whose ``pixels`` are then those that every later reader will see."""
        file = self.raw.file(row) if readable else None
        content = file.read_bytes() if file else b""
        sizes = self.raw.sizes
        if sizes is not None and tuple(sizes[row]) == self.raw.shape and content.startswith(KEPT):
            return self.places[row] if self.places else b"", content
        is_lossy = content.startswith(JPEG) and max(self.raw.shape) > SMALL and self.data.quality < 100
        content = encode(pixels, self.data.quality if is_lossy else 0)
        if is_lossy:
            pixels[:] = decode.decode(content)
        return b"", content


class Shard(NamedTuple):
    """Consecutive raw images that are decoded together, once, whatever ends the process later."""

    path: Path  # of their streams; beside it lie what was measured of them and, written last, the record of both
    rows: range
    made_from: Digests


def _shards(table: Path, source: Source) -> list[Shard]:
    raw, every = source.raw, range(len(source.raw.ids))
    given = {"store": str(VERSION), **source.made_from, "raw": raw.fingerprint, "pillow": PIL.__version__}
    size = int(np.clip(SHARD_BYTES // raw.picture, 32, 4096))
    parts = enumerate(every[start : start + size] for start in every[::size])
    return [Shard(shard_file(table, number), rows, {**given, "rows": str(rows)}) for number, rows in parts]


@contextmanager
def decoding(table: Path, source: Source, emit: Emit) -> Iterator[Decoded]:
    """Decode all images, to shards beside ``table`` or to an array that takes its place when the block ends.

    Shards that an earlier process finished are not made again. Those of an array have no streams: their pixels stay in
    the file that is to become the array, and their records until the caller has written all else, see `tidy`.

    Raises `KitError` where the disk has too little room, and `DataError` where a test image needs another library.
    """
    shards, pace = _shards(table, source), Pace("clean: decoded", len(source.raw.ids), emit)

    def is_whole(shard: Shard) -> bool:
        return unless_damaged(lambda: Made.fresh(shard.path.with_suffix(".json"), shard.made_from), emit) is not None

    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, user_api="blas"))  # as in `plan`
        file, room, wholes = None, NO_PIXELS, map(is_whole, shards)
        if not source.is_encoded:
            finished = [*takewhile(is_whole, shards)]
            shape = (len(source.raw.ids), *source.raw.shape, 3)
            file, room = stack.enter_context(room_for(table, shape, bool(finished)))
            if finished and not _restored(room, finished, source.raw):
                finished = []
            wholes = map(finished.__contains__, shards)

        def every() -> Iterator[Decoded]:
            done = 0
            for shard, is_there in zip(shards, wholes, strict=True):
                if is_there:
                    pace(len(shard.rows), before=True)
                else:
                    _write_shard(shard, source, room[done:], pace)
                columns = read_arrays(shard.path.with_suffix(".npz"))
                problems = dict(zip(columns["bad"].tolist(), columns["why"].tolist(), strict=True))
                measured, rows = Measured(*(columns[name] for name in Measured._fields)), columns["rows"]
                done += len(rows)
                yield Decoded(NO_PIXELS, rows, problems, measured, (), columns["lines"])

        found = _together(table.parent, every())
        images: Any = room[: len(found.rows)]
        if source.is_encoded:
            tidy(table, len(shards))
            images = EncodedImages(table, found.lines, source.raw.shape)
        yield found._replace(images=images, file=file)


def _restored(room: ImageArray, finished: Sequence[Shard], raw: RawSet) -> bool:
    """Whether the pictures of shards that an earlier process ``finished`` are in their places in ``room`` again.

    If it had begun to move together those that stay, they are moved back, and those that had to go are read again.
    """
    told = [read_arrays(shard.path.with_suffix(".npz"), ("rows", "pixels")) for shard in finished]
    rows, expected = (np.concatenate([one[name] for one in told]) for name in ("rows", "pixels"))
    found = pixel_digests(room[: len(rows)])
    place_of = {digest.tobytes(): place for place, digest in reversed([*enumerate(found)])}
    for place in np.flatnonzero((found != expected).any(axis=1))[::-1].tolist():
        now, row = place_of.get(expected[place].tobytes(), place), int(rows[place])
        room[place] = room[now] if now < place else raw.read(row, row + 1)[0][0]
    return np.array_equal(pixel_digests(room[: len(rows)]), expected)


def write_images(path: Path, decoded: Decoded, rows: IntArray) -> None:
    """Write where some of the images, in ascending ``rows``, lie in the shards, or move them together in the array that
    they were decoded to: the others are no longer in it."""
    if decoded.file is None:
        lines = decoded.lines[rows]
        own = lines["shard"] == IN_PLACE
        lines["start"][own] = np.cumsum(lines["size"][own], dtype=np.uint64) - lines["size"][own]
        write_atomic(path, lambda file: np.save(file, lines))
        return
    images: Any = decoded.images  # a memory map
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        if part[-1] != start + len(part) - 1:  # else all of them are in their places
            images[start : start + len(part)] = images[part]
    images.flush()
    decoded.file.seek(0)
    decoded.file.write(header_of((len(rows), *images.shape[1:])))
    decoded.file.truncate(decoded.file.tell() + len(rows) * images[:1].nbytes)


def _together(folder: Path, blocks: Iterable[Decoded]) -> Decoded:
    """All blocks as one, without images. Edges, half of what is measured, are mapped from a file without a name
    in ``folder``."""
    kept = list[Decoded]()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        for block in blocks:
            edges = block.measured.edges
            file.write(edges.tobytes())
            kept.append(block._replace(measured=block.measured._replace(edges=edges[: None if edges.size == 0 else 0])))
        _, rows, problems, measured, _, lines, _ = zip(*kept, strict=True)
        columns = Measured(*map(np.concatenate, zip(*measured, strict=True)))
        if file.tell():
            mapped = np.memmap(file, edges.dtype, "r", shape=(len(columns.pixels), edges.shape[1]))
            columns = columns._replace(edges=mapped)
    found = {row: reason for some in problems for row, reason in some.items()}
    return Decoded(NO_PIXELS, np.concatenate(rows), found, columns, (), np.concatenate(lines))


def _write_shard(shard: Shard, source: Source, room: ImageArray, pace: Pace) -> None:
    """Write the streams of a shard, or its pixels into ``room``, what was measured of them, and last the record."""
    path = shard.path
    path.with_suffix(".json").unlink(missing_ok=True)
    blocks, lines = list[Decoded](), list[tuple[Any, ...]]()

    def fill(file: IO[bytes]) -> None:
        done = 0
        for block in source.blocks(shard.rows):
            if not source.is_encoded:  # then there are no streams
                room[done : done + len(block.rows)] = block.images
                done += len(block.rows)
            for (place, stream), pixels in zip(block.streams, block.measured.pixels, strict=source.is_encoded):
                digest = np.frombuffer(hashlib.sha256(stream).digest(), np.uint8)
                where = (IN_PLACE, 0) if place else (int(path.stem), file.tell())
                line = (*where, len(stream), *source.raw.shape, digest, pixels, place)
                lines.append(line[: len(source.table.names or ())])
                file.write(b"" if place else stream)
            blocks.append(block._replace(images=NO_PIXELS, streams=()))
            pace(len(block.rows))

    write_atomic(path, fill)
    found = _together(path.parent, blocks)
    bad, why = np.array([*found.problems], np.int64), np.array([*found.problems.values()], np.str_)
    columns = {"lines": np.array(lines, source.table), "rows": found.rows, "bad": bad, "why": why}
    columns |= found.measured._asdict()
    write_atomic(path.with_suffix(".npz"), lambda file: np.savez(file, allow_pickle=True, **columns))
    files = digests_of(path.parent, path, path.with_suffix(".npz"))
    Made(made_from=shard.made_from, files=files).save(path.with_suffix(".json"))


def tidy(table: Path, used: int) -> None:
    """Remove the shards beside ``table`` but for the first ``used``, and what a process left that was killed."""
    folder = shard_file(table, 0).parent
    others = [path for path in folder.glob("[0-9]*.*") if int(path.stem) >= used]
    for path in [*others, *folder.glob(".*.tmp"), *table.parent.glob(unfinished(table).name)]:
        path.unlink(missing_ok=True)
