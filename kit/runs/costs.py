"""What a trained fold costs at test time: bytes and seconds."""

from collections.abc import Iterable

from kit.runs.float16 import halved_bytes
from kit.store.files import read_log
from kit.store.layout import FoldPaths


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
