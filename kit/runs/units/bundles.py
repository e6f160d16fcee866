"""A bundle in an engine: its networks are converted when it is first predicted with, and kept in the user's cache."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.arrays import ImageArray
from kit.errors import KitError
from kit.runs.units.networks import ENGINES, check, conversion_key, convert, keep, kept, version_of
from kit.runtime import forward
from kit.runtime.backbones import Description
from kit.runtime.predictor import Fold, Predictor
from kit.store.files import sha256_file

COMPARED = 32  # images that the engine and TensorFlow predict when a bundle was converted
KEPT = 8  # of them that are predicted again when it is loaded: more would take longer than loading does
LIMIT = 2 << 30  # bytes of all that is kept


class Converted(Predictor):
    """A bundle in an engine on all processors, of the parts that `convert_and_keep` makes of it.

    It loads TensorFlow for the steps before its networks and for views that resize, if it has any; for nothing else.
    """

    def __init__(self, folder: Path, engine: str, parts: dict[str, Any]) -> None:
        threads, numbers = os.cpu_count() or 1, range(parts["folds"].max() + 1)
        self._runs = [ENGINES[engine].forward(parts[str(number)].tobytes(), threads) for number in numbers]
        self._folds = iter(parts["folds"].tolist())
        super().__init__(str(folder))

    def _load(self, description: Description, path: Path) -> Fold:
        before, _ = forward.split(description)
        steps = json.dumps(before, sort_keys=True)
        if steps not in self._steps:
            self._steps[steps] = forward.preparation(before, self.size)
        features, head = next(self._folds)
        return Fold(self._runs[features], self._runs[head], steps, str(features))

    def _given(self, images: Any) -> Any:
        return np.asarray(images, dtype=np.float32)


def _place(folder: Path, engine: str) -> tuple[str, Path]:
    """The key of the bundle in ``folder`` in an engine, and where the user's cache keeps that."""
    files = {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}
    key = conversion_key(engine, version_of(engine), files)
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # a user without a home, as in containers: nothing is kept
            cache = folder
    return key, cache / "kit" / "converted" / f"{key}.bin"


def tidy(newest: Path) -> None:
    """Remove from the folder of the ``newest`` what was not used for longest, until the others fit into the limit."""
    paths = sorted(newest.parent.glob("*.bin"), key=lambda path: (path != newest, -path.stat().st_mtime))
    for path, size in zip(paths, np.cumsum([path.stat().st_size for path in paths]), strict=True):
        if size > LIMIT and path != newest:
            path.unlink(missing_ok=True)


def load_kept(folder: Path, engine: str) -> Predictor | None:
    """The checked bundle in ``folder`` as it was converted before; None where it was not, or predicts otherwise now."""
    with suppress(ImportError, ArithmeticError):
        key, path = _place(folder, engine)
        if (parts := kept(path, key)) is not None:
            with suppress(OSError):
                os.utime(path)
            found = Converted(folder, engine, parts)
            check(engine, found.predict_proba(parts["images"]), parts["proba"])
            return found
    return None


def convert_and_keep(folder: Path, engine: str, bundle: Predictor, images: ImageArray) -> Predictor:
    """A bundle in an engine, kept for the next time if its probabilities of the images are those of TensorFlow.

    Raises `ImportError` where the engine is not installed, `ArithmeticError` where it cannot run it or says otherwise.
    """
    (key, path), parts = _place(folder, engine), {}
    folds = [fold for member in bundle.members for fold in member]
    runs: list[Any] = list(dict.fromkeys(run for fold in folds for run in (fold.features, fold.head)))
    for number, run in enumerate(runs):
        for variable, array in zip(run.part.model.weights, run.weights, strict=True):
            variable.assign(array)
        parts[str(number)] = np.frombuffer(convert(engine, run.part.model), np.uint8)
    parts["folds"] = np.array([(runs.index(fold.features), runs.index(fold.head)) for fold in folds])
    found, expected = Converted(folder, engine, parts), bundle.predict_proba(images[:COMPARED])
    check(engine, found.predict_proba(images[:COMPARED]), expected)
    with suppress(KitError, OSError):  # a home that cannot be written to
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep(path, key, {**parts, "images": images[:KEPT], "proba": expected[:KEPT]})
        tidy(path)
    return found
