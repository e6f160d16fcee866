"""What a trained fold costs at test time: bytes and seconds."""

from __future__ import annotations

from collections.abc import Iterable

from kit.files import read_log
from kit.half import halved_bytes
from kit.layout import FoldPaths


def megabytes(folds: Iterable[FoldPaths], *, half: bool = False) -> float:
    """Size of the folds' weights, with ``half`` that of float16 weights."""
    sizes = (halved_bytes(fold.weights) if half else fold.weights.stat().st_size for fold in folds)
    return sum(sizes) / 1e6


def seconds_per_1000(folds: Iterable[FoldPaths]) -> float | None:
    """Seconds to predict 1,000 images with all the folds under one view; None where one was not timed.

    Measured when the folds predicted their held-out rows, on the machine that trained them.
    """
    seconds = [_measured(fold) for fold in folds]
    return None if None in seconds else sum(value for value in seconds if value is not None)


def _measured(fold: FoldPaths) -> float | None:
    found = [line.get("seconds_per_1000") for line in read_log(fold.log)]
    return next((float(value) for value in reversed(found) if value is not None), None)
