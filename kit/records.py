"""The few types that cross the borders between stages."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from kit.errors import DataError
from kit.files import write_atomic

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]
ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Event:
    """Something that a stage has to say while it works; `kit.console` decides how it looks.

    ``kind`` is one of `say` (a line for the user), `warn`, `fresh` (nothing to do), `wrote` (a file), `progress`
    (``done`` of ``total``), `table` (a title, a header and rows), `number` (the one figure that matters).
    """

    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """An `Emit` for callers that do not want to hear anything."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits of a set of images under several views.

    Attributes
    ----------
    ids : (N,) str
    classes : (C,) str
    views : (V,) str
        The first is `identity`.
    logits : (V, N, C) float32
        Views are kept apart, so that test-time augmentation is chosen later without running a network again.
    """

    ids: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    views: tuple[str, ...]
    logits: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        expected = (len(self.views), len(self.ids), len(self.classes))
        if self.logits.shape != expected:
            raise DataError(f"predictions have logits of shape {self.logits.shape}, expected {expected}")
        if not np.isfinite(self.logits).all():
            row = int(np.flatnonzero(~np.isfinite(self.logits).all(axis=(0, 2)))[0])
            raise DataError(f"the prediction for id {str(self.ids[row])!r} is not finite")
        if len(np.unique(self.ids)) != len(self.ids):
            raise DataError("an id has more than one prediction")

    def save(self, path: Path) -> Path:
        """Write an npz without pickles; the same predictions give the same bytes."""

        def fill(file: IO[bytes]) -> None:
            np.savez(
                file,
                ids=np.asarray(self.ids, dtype=np.str_),
                classes=np.asarray(self.classes, dtype=np.str_),
                views=np.asarray(self.views, dtype=np.str_),
                logits=np.asarray(self.logits, dtype=np.float32),
            )

        return write_atomic(path, fill)

    def take(self, ids: npt.NDArray[np.str_]) -> Predictions:
        """The predictions for ``ids`` in that order; raises `DataError` where one is missing."""
        position = {name: row for row, name in enumerate(self.ids.tolist())}
        missing = [name for name in ids.tolist() if name not in position]
        if missing:
            raise DataError(f"{len(missing)} ids have no prediction, the first is {missing[0]!r}")
        rows = [position[name] for name in ids.tolist()]
        return Predictions(ids, self.classes, self.views, self.logits[:, rows])


def load_predictions(path: Path) -> Predictions:
    """Read what `Predictions.save` wrote.

    Raises
    ------
    DataError
        Where the file is missing, damaged, or holds something else.
    """
    try:
        # Opened here: numpy leaves the file open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Predictions(
                ids=arrays["ids"],
                classes=tuple(str(name) for name in arrays["classes"]),
                views=tuple(str(name) for name in arrays["views"]),
                logits=arrays["logits"].astype(np.float32),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as predictions: {error}") from error


def concatenate(parts: Sequence[Predictions], order: npt.NDArray[np.str_]) -> Predictions:
    """Join predictions of disjoint sets of images, in the order of ``order``; raises `DataError` on a gap."""
    first = parts[0]
    if any(part.classes != first.classes or part.views != first.views for part in parts):
        raise DataError("predictions of different classes or views cannot be joined")
    joined = Predictions(
        ids=np.concatenate([part.ids for part in parts]),
        classes=first.classes,
        views=first.views,
        logits=np.concatenate([part.logits for part in parts], axis=1),
    )
    return joined.take(order)
