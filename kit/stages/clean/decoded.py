"""All raw images that can be trained on, decoded once, in a file without a name."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from kit.base.arrays import ImageArray, IntArray
from kit.config import Config
from kit.images.sources import RawSet
from kit.stages.clean.thumbnails import fitted
from kit.store.files import refusal

NO_LABEL = "no label"


@dataclass(frozen=True, eq=False)
class Decoded:
    """All raw images that can be trained on."""

    images: ImageArray  # (U, H, W, 3)
    rows: IntArray  # (U,) the raw row of each
    problems: dict[int, str]  # the other raw rows and why: they cannot be read, or have no label


@contextmanager
def decode(folder: Path, raw: RawSet) -> Iterator[Decoded]:
    """Decode all images into a memory-mapped file in ``folder`` that is gone when the block or the process ends.

    A set of 100,000 images does not fit in memory, and a compressed source cannot be read twice at no cost. The file
    has no name, so that a process that is killed leaves nothing, and all its bytes are reserved at the start: a page
    of a mapped file that finds no room later kills the process with SIGBUS.

    Raises `KitError` where the disk has too little room.
    """
    shape = (len(raw.ids), *raw.shape, 3)
    size = int(np.prod(shape, dtype=np.int64))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".decoded.*.tmp"):  # of a killed process of an earlier version, whose file had a name
            left.unlink(missing_ok=True)
        file = _reserved(folder, size)
    except OSError as error:
        # As much again as `images.npy`, which is written while this file is there.
        raise refusal(error, f"cannot decode {len(raw.ids)} images in {folder}", folder / "_", 2 * size) from error
    with file:
        mapped = np.memmap(file, np.uint8, "r+", shape=shape)
        rows: list[int] = []
        problems: dict[int, str] = {}
        for start, images, found in raw.blocks():
            unlabelled = np.flatnonzero(raw.labels[start : start + len(images)] < 0).tolist()
            found |= {start + row: NO_LABEL for row in unlabelled}
            usable = [row for row in range(len(images)) if start + row not in found]
            mapped[len(rows) : len(rows) + len(usable)] = images[usable]
            rows += [start + row for row in usable]
            problems |= found
        yield Decoded(mapped[: len(rows)], np.array(rows, np.int64), problems)


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


def frames_of(config: Config, raw: RawSet, decoded: Decoded) -> IntArray | None:
    """Where the picture itself is in each decoded square, if ``resize = "fit"`` padded it."""
    if raw.sizes is None or not config.data.image_size or config.data.resize != "fit":
        return None
    return fitted(raw.sizes[decoded.rows], config.data.image_size)
