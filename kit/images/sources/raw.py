"""What every source gives, and training and external images as one set."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kit.base.arrays import FloatArray, ImageArray, IntArray
from kit.base.events import HEARD, Pace
from kit.base.tasks import ONE_CLASS, Array, Task
from kit.errors import DataError
from kit.store.files import sha256_json

BLOCK, BLOCK_BYTES = 512, 1 << 28
PART_BYTES = 1 << 30


class Held(NamedTuple):
    """The file of an image that is inside another file."""

    read_bytes: Callable[[], bytes]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """What a source says of its images."""

    ids: tuple[str, ...]  # unique; for arrays the zero-padded row number
    labels: IntArray  # (N,), -1 = no label
    classes: tuple[str, ...]
    groups: tuple[str, ...] = ()  # the user's own (patients): rows with one value share a fold; an empty one: alone
    weights: FloatArray | None = None  # (N,) float64, of each row in the loss
    notes: tuple[str, ...] = ()  # what a person should know of how it was read
    task: Task = ONE_CLASS
    targets: Array | None = None  # the truth where that is not the labels, see `kit.base.tasks`


@dataclass(frozen=True, eq=False, kw_only=True)
class RawSet(Rows):
    """Images as the competition gives them, read in blocks.

    ``read(start, stop)`` gives uint8 (stop - start, H, W, 3) and, by row, why an image, then zero, cannot be used.
    """

    shape: tuple[int, int]  # height and width that every image is read as
    read: Callable[[int, int], tuple[ImageArray, dict[int, str]]]
    fingerprint: str  # hash of everything that is read; another one makes all later stages stale
    sizes: IntArray | None = None  # (N, 2) height and width in the file, before a resize; (0, 0) = not known
    passed_over: Mapping[str, int] = field(default_factory=dict)  # files that are no images, by their suffix
    file: Callable[[int], Path | Held | None] = lambda row: None  # of a readable row, where there are files

    def blocks(self) -> Iterator[tuple[int, ImageArray, dict[int, str]]]:
        """First row, images and problems of consecutive blocks of rows: a power of two, so that batches stay whole."""
        size = min(BLOCK, 1 << (BLOCK_BYTES // self.picture | 1).bit_length() - 1)
        for start in range(0, len(self.ids), size):
            images, problems = self.read(start, min(start + size, len(self.ids)))
            yield start, images, problems

    @property
    def picture(self) -> int:
        """Bytes of the pixels of one image."""
        return 3 * math.prod(self.shape)

    @property
    def truth(self) -> Array:
        """What metrics are given, see `kit.base.tasks`."""
        return self.labels if self.targets is None else self.targets

    def labelled(self) -> Iterator[tuple[ImageArray, Array]]:
        """Images and truth of the rows with a label, as no other can be scored, `PART_BYTES` of them at a time, in a
        temporary file that the next ones overwrite. `DataError` where an image cannot be read, or none has a label."""
        if not (self.labels >= 0).any():
            raise DataError(f"none of {len(self.ids)} images has a label: there is nothing to score")
        pace, rows = Pace("read", len(self.ids), HEARD.get()), list[int]()
        with tempfile.TemporaryFile() as file:
            for start, images, problems in self.blocks():
                pace(len(images))
                for row, reason in problems.items():
                    raise DataError(f"image {self.ids[row]!r} cannot be read: {reason}")
                known = np.flatnonzero(self.labels[start : start + len(images)] >= 0)
                file.write(images[known].tobytes())
                rows += (known + start).tolist()
                if rows and (start + len(images) == len(self.ids) or file.tell() >= PART_BYTES):
                    file.flush()
                    yield np.memmap(file, np.uint8, "r", shape=(len(rows), *images.shape[1:])), self.truth[rows]
                    rows = []
                    file.seek(0)


@dataclass(frozen=True, eq=False)
class Competition:
    """A competition that needs no download."""

    images: ImageArray  # (N, S, S, 3)
    labels: IntArray  # (N,) as handed out
    classes: tuple[str, ...]  # in label order
    test_images: ImageArray  # (M, S, S, 3)
    test_labels: IntArray  # (M,), hidden: only the local platform reads them


def row_ids(n: int) -> tuple[str, ...]:
    """Ids of rows of an array: their numbers, zero-padded so that they sort as numbers do."""
    width = len(str(max(n - 1, 0)))
    return tuple(f"{row:0{width}d}" for row in range(n))


def checked_weights(weights: FloatArray, what: str) -> FloatArray:
    """The weights; raises `DataError` unless all of them are finite and at least 0, and one of them more."""
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise DataError(f"{what}: the weight of row {int(bad[0]) + 1} is {weights[bad[0]]}; weights are 0 or more")
    if not weights.any():
        raise DataError(f"{what}: every weight is 0")
    return weights


def without_label(raw: RawSet) -> RawSet:
    """The rows that have no label, as a set of their own; raises `DataError` where there is none."""
    rows = np.flatnonzero(raw.labels < 0)
    if not len(rows):
        raise DataError(f"data.unlabelled is data.train, but all {len(raw.ids)} images there have a label")

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        each = [raw.read(row, row + 1) for row in rows[start:stop].tolist()]
        problems = {start + place: "".join(found.values()) for place, (_, found) in enumerate(each) if found}
        return np.concatenate([images for images, _ in each]), problems

    return RawSet(
        ids=tuple(raw.ids[row] for row in rows),
        labels=raw.labels[rows],
        classes=raw.classes,
        shape=raw.shape,
        read=read,
        fingerprint=sha256_json(["without label", raw.fingerprint]),
        sizes=None if raw.sizes is None else raw.sizes[rows],
        file=lambda row: raw.file(int(rows[row])),
    )


def check_classes(raw: RawSet, rows: IntArray, what: str, hint: str) -> None:
    """Raise `DataError` where there are fewer than two classes or one of them has no image among ``rows``.

    ``hint`` says what to do about a class without images.
    """
    classes = raw.classes
    labels = raw.truth[rows]  # each class as often as it occurs; of numbers, whose bins may be empty, each once
    if raw.task.kind != "classes":
        labels = np.arange(len(classes)) if raw.task.kind == "numbers" else np.nonzero(labels)[1]
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if len(classes) < 2:
        bare = int((labels < 0).sum())
        without = f" ({bare} rows have no label: an empty cell or a negative number)" if bare else ""
        without = f" ({'; '.join(raw.notes)})" if bare and raw.notes else without
        raise DataError(f"{what} has {len(classes)} class{without}; a classifier needs at least two")
    empty = [classes[c] for c in np.flatnonzero(counts == 0)]
    if empty:
        others = f", nor do {len(empty) - 1} others" if len(empty) > 1 else ""
        raise DataError(f"{what}: class {empty[0]!r} has no image{others}", hint)


def joined(train: RawSet, external: RawSet, part: str) -> RawSet:
    """Both sets as one, the other ``part`` last, its ids under its name; `DataError` where sizes of images differ."""
    if external.shape != train.shape:
        sizes = "images are {} x {}, but training images are {} x {}".format(*external.shape, *train.shape)
        raise DataError(f"{part} {sizes}", f"[data] image_size = {min(train.shape)}")
    n = len(train.ids)

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        parts = [(train, start, min(stop, n), 0), (external, max(start - n, 0), stop - n, n)]
        blocks: list[ImageArray] = []
        problems: dict[int, str] = {}
        for source, first, last, offset in parts:
            if first < last:
                images, found = source.read(first, last)
                blocks.append(images)
                problems |= {row + offset: reason for row, reason in found.items()}
        return np.concatenate(blocks), problems

    both = (train, external)
    in_files = [np.zeros((len(one.ids), 2), np.int64) if one.sizes is None else one.sizes for one in both]
    grouped, weighted = any(one.groups for one in both), any(one.weights is not None for one in both)
    return replace(
        train,
        ids=(*train.ids, *(f"{part}/{name}" for name in external.ids)),
        labels=np.concatenate([train.labels, external.labels]),
        read=read,
        file=lambda row: train.file(row) if row < n else external.file(row - n),
        fingerprint=sha256_json([part, train.fingerprint, external.fingerprint, external.labels.tolist()]),
        targets=None if train.targets is None else np.concatenate([train.truth, external.truth]),
        groups=tuple(name for one in both for name in one.groups or [""] * len(one.ids)) if grouped else (),
        weights=np.concatenate([np.ones(len(one.ids)) if one.weights is None else one.weights for one in both])
        if weighted
        else None,
        sizes=np.concatenate(in_files),
        passed_over=Counter(train.passed_over) + Counter(external.passed_over),
        notes=train.notes + external.notes,
    )
