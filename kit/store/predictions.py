"""The few types that cross the borders between stages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.errors import DataError
from kit.runtime.forward import mean_of_folds
from kit.runtime.pool import from_logits
from kit.store.arrays import UNREADABLE
from kit.store.files import write_atomic


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits (V, N, C) of a set of images under several views, of which the first is `identity`.

    With ``several`` labels an image they are those of sigmoids, else of one softmax.

    Views are kept apart, so that test-time augmentation is chosen later without running a network again.
    """

    ids: npt.NDArray[np.str_]
    classes: tuple[str, ...]
    views: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    several: bool = False

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
        words = {name: np.asarray(getattr(self, name), dtype=np.str_) for name in ("ids", "classes", "views")}
        logits = np.asarray(self.logits, dtype=np.float32)
        flag = {"several": np.array(True)} if self.several else {}
        return write_atomic(path, lambda file: np.savez(file, allow_pickle=True, **words, logits=logits, **flag))

    def take(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> "Predictions":
        """The predictions for ``ids`` in that order; raises `DataError` where one is missing."""
        wanted = np.asarray(ids, dtype=np.str_)
        position = {name: row for row, name in enumerate(self.ids.tolist())}
        missing = [name for name in wanted.tolist() if name not in position]
        if missing:
            raise DataError(f"{len(missing)} ids have no prediction, the first is {missing[0]!r}")
        rows = [position[name] for name in wanted.tolist()]
        return replace(self, ids=wanted, logits=self.logits[:, rows])

    def select(self, views: Sequence[str]) -> "Predictions":
        """The predictions under ``views`` in that order; raises `DataError` where one was not predicted."""
        missing = [view for view in views if view not in self.views]
        if missing:
            raise DataError(f"there are no predictions for view {missing[0]!r}, only for {', '.join(self.views)}")
        return replace(self, views=tuple(views), logits=self.logits[[self.views.index(view) for view in views]])

    @property
    def proba(self) -> npt.NDArray[np.float64]:
        """(V, N, C) probabilities."""
        return np.asarray(from_logits(self.logits, self.several))

    @property
    def first(self) -> npt.NDArray[np.float64]:
        """(N, C) probabilities under the first view."""
        return np.asarray(from_logits(self.logits[0], self.several))


def load_predictions(path: Path) -> "Predictions":
    """Read what `Predictions.save` wrote; raises `DataError` where it is missing, damaged, or something else."""
    try:
        # Opened here: numpy leaves the file open where it is no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Predictions(
                ids=arrays["ids"],
                classes=tuple(str(name) for name in arrays["classes"]),
                views=tuple(str(name) for name in arrays["views"]),
                logits=arrays["logits"].astype(np.float32),
                several="several" in arrays,
            )
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as predictions: {error}") from error


def join(parts: Sequence[Predictions], n: int, ids: Sequence[str], classes: Sequence[str]) -> "Predictions":
    """One prediction per row of ``ids`` that any part has, in that order: the mean over repeats of ``n`` parts each.

    Raises `DataError` where the parts of a repeat do not have the same rows as those of the first, or a row twice.
    """
    if any(part.views != parts[0].views for part in parts):
        raise DataError("predictions of different views cannot be joined")
    known = {name for part in parts for name in part.ids.tolist()}
    order = [name for name in ids if name in known]
    repeats, several = [], parts[0].several
    for start in range(0, len(parts), n):
        held = parts[start : start + n]
        together = np.concatenate([part.logits for part in held], axis=1)
        rows = np.concatenate([part.ids for part in held])
        whole = Predictions(rows, tuple(classes), parts[0].views, together, several)
        repeats.append(whole.take(order).logits)
    mean = mean_of_folds(np.stack(repeats), several)
    return Predictions(np.array(order, np.str_), tuple(classes), parts[0].views, mean, several)
