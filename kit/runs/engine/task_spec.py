"""What a task is told: which unit, with which files, under which names."""

import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kit import __version__
from kit.runs.engine.stores import Blob, Store
from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec
from kit.runs.units import Unit
from kit.store.files import sha256_file

PACKAGES = ("tensorflow", "keras", "numpy")
# Kinds of units that are told by a `PredictionSpec`, and read the weights of their fold.
PREDICTING = ("stress", "test")
# Ray gives its workers a number of threads of its own; units get what they would get here.
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class TaskSpec:
    """One attempt at one unit; paths are relative to the project's folder.

    The unit's process reads ``description``, its `root` still to be filled in, which is written ``at``; the fold's
    files are in ``folder``. ``threads`` is the ``OMP_NUM_THREADS`` of the machine that asks, ``cards`` is how many
    graphics cards the task has.
    """

    kind: str
    module: str
    description: FoldSpec | PredictionSpec
    at: str
    folder: str
    inputs: Mapping[str, Blob]
    threads: str | None
    cards: float


class Warehouse:
    """Puts files into a store, each content once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, int, int], Blob] = {}
        self._lock = threading.Lock()

    def shared(self, path: Path) -> Blob:
        """A file that several units read, as something that can be sent; hashed and stored the first time only."""
        state = path.stat()
        known = (str(path), state.st_mtime_ns, state.st_size)
        with self._lock:
            if known not in self._known:
                self._known[known] = self.own(path)
            return self._known[known]

    def own(self, path: Path) -> Blob:
        """A file that one unit reads."""
        sha = sha256_file(path)
        return Blob(sha, path.stat().st_size, self._store.put(path, f"inputs/{sha}"))


def task_spec(unit: Unit, module: str, warehouse: Warehouse, cards: float) -> TaskSpec:
    """What is told for a unit as its files are now: a checkpoint that came back from an earlier attempt goes along."""
    layout, paths = unit.spec.layout, unit.spec.paths
    reads = [layout.data_manifest, layout.index, layout.images, layout.folds_table(unit.spec.folds), *unit.reads]
    if unit.kind in ("fold", "test"):
        reads += [layout.test_manifest, layout.test_images, layout.test_index]
    if unit.kind == "fold":
        reads += [paths.checkpoint(0), paths.checkpoint(1)]
    if unit.kind in PREDICTING:
        reads += [paths.weights]
    files = {str(path.relative_to(layout.root)): path for path in reads if path.exists()}
    told = unit.spec if unit.kind not in PREDICTING else PredictionSpec.load(unit.description)
    weights = unit.spec.settings.weights
    if weights not in ("none", "imagenet"):
        own = layout.named(weights)
        files[f"pretrained/{own.name}"] = own
        settings = unit.spec.settings.model_copy(update={"weights": f"pretrained/{own.name}"})
        told = changed(told, settings=settings)
    return TaskSpec(
        kind=unit.kind,
        module=module,
        description=told,
        at=str(unit.description.relative_to(layout.root)),
        folder=str(paths.root.relative_to(layout.root)),
        inputs={
            name: warehouse.own(path) if path.is_relative_to(paths.root) else warehouse.shared(path)
            for name, path in files.items()
        },
        threads=os.environ.get(THREADS),
        cards=cards,
    )


def changed(told: FoldSpec | PredictionSpec, **fields: object) -> FoldSpec | PredictionSpec:
    """A description with other ``fields`` of its fold."""
    if isinstance(told, FoldSpec):
        return told.model_copy(update=fields)
    return told.model_copy(update={"fold": told.fold.model_copy(update=fields)})


@cache
def versions() -> Mapping[str, str]:
    """Of the kit, Python and the libraries that numbers depend on; they stay for as long as a process lives."""
    found = {"kit": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found
