"""What a trained fold costs at test time, in bytes and seconds, and the float16 weights that halve the bytes.

Kernels are halved; what has one axis (biases, the statistics of a BatchNorm) stays float32: it is a hundredth of the
bytes, and a variance of 1e-8 would become nothing. The runtime computes in float32 whatever is stored.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kit.store.files import read_log, write_atomic
from kit.store.layout import FoldPaths

LARGEST = float(np.finfo(np.float16).max)


def halved(array: Any) -> Any:
    """``array`` as float16 where that is a kernel and no value is too large for it, else as it is."""
    if array.ndim < 2 or array.dtype != np.float32 or np.abs(array).max(initial=0.0) > LARGEST:
        return array
    return array.astype(np.float16)


def write_halved(source: Path, target: Path) -> Path:
    """Write the ``.npz`` of weights at ``source`` anew, its kernels in half the bytes; the same bytes every time."""
    with np.load(source, allow_pickle=False) as arrays:
        halves = {name: halved(arrays[name]) for name in arrays.files}
    return write_atomic(target, lambda file: np.savez(file, allow_pickle=True, **halves))


def halved_bytes(path: Path) -> int:
    """About what `write_halved` would make of the file at ``path``, from the headers of its arrays alone."""
    saved = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                np.lib.format.read_magic(member)
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                if len(shape) > 1 and dtype == np.float32:
                    saved += (info.file_size - member.tell()) // 2
    return path.stat().st_size - saved


def megabytes(folds: Iterable[FoldPaths], *, half: bool = False) -> float:
    """Size of the folds' weights, with ``half`` that of float16 weights."""
    sizes = (halved_bytes(fold.weights) if half else fold.weights.stat().st_size for fold in folds)
    return sum(sizes) / 1e6


def seconds_per_1000(folds: Iterable[FoldPaths]) -> float | None:
    """Seconds to predict 1,000 images with all the folds under one view; None where one was not timed.

    Measured when the folds predicted their held-out rows, on the machine that trained them.
    """
    found = [[line.get("seconds_per_1000") for line in read_log(fold.log)] for fold in folds]
    seconds = [[float(value) for value in values if value is not None] for values in found]
    return sum(values[-1] for values in seconds) if all(seconds) else None
