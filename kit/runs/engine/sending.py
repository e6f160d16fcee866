"""What is sent to the machines of a cluster: what a task is told, and files by an object store, a folder or a URL."""

import hashlib
import os
import platform
import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from kit import __version__
from kit.errors import ConfigError, KitError
from kit.runs.engine.cluster import ray
from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec
from kit.runs.units import Unit
from kit.store.encoded import IN_PLACE, EncodedImages, open_images, shard_file, stored_files
from kit.store.files import sha256_file, write_atomic

# Of a file that is sent: large enough to be quick, small beside the memory of any machine.
PIECE = 32 << 20
PACKAGES = ("tensorflow", "keras", "numpy")
# Kinds of units that are told by a `PredictionSpec`, and read the weights of their fold.
PREDICTING = ("stress", "test")
# Ray gives its workers a number of threads of its own; units get what they would get here.
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Blob:
    """A file somewhere: the hash and the number of its bytes, and the handle by which its store finds it.

    Where that is a path, machines read the file there, without a copy.
    """

    sha256: str
    size: int
    handle: Any


class Store(ABC):
    """Takes files in on one machine and gives them out on another; travels with every task.

    Where it ``streams``, workers send what they wrote through the stream of their task instead.
    """

    streams = False

    @abstractmethod
    def put(self, path: Path, name: str) -> Any:
        """Take in a file under a name that no other content has; returns the handle."""

    @abstractmethod
    def pieces(self, handle: Any) -> Iterator[bytes]:
        """The bytes of a file, in pieces."""

    def drop(self, handle: Any) -> None:
        """Forget a file; one that streams is never asked to."""
        raise NotImplementedError


class Objects(Store):
    """In Ray's object store; what it holds, it holds for as long as the driver knows the handle."""

    streams = True

    def put(self, path: Path, name: str) -> Any:
        return [ray.put(piece) for piece in read_pieces(path)]

    def pieces(self, handle: Any) -> Iterator[bytes]:
        for reference in handle:
            # Not `ray.get`: a task that waits there gives its processor away.
            yield reference.future().result()


@dataclass(frozen=True)
class Folder(Store):
    """In a folder that all machines see under one path; files are read where they lie."""

    root: Path

    def put(self, path: Path, name: str) -> Any:
        target = self.root / name
        if not (target.exists() and target.stat().st_size == path.stat().st_size):
            with path.open("rb") as source:
                write_atomic(target, lambda file: shutil.copyfileobj(source, file, PIECE))
        return target

    def pieces(self, handle: Any) -> Iterator[bytes]:
        return read_pieces(handle)

    def drop(self, handle: Any) -> None:
        handle.unlink(missing_ok=True)
        with suppress(OSError):  # others of the same unit are still there
            handle.parent.rmdir()


@dataclass(frozen=True)
class UrlStore(Store):
    """Behind any URL that fsspec knows; each machine copies a file once."""

    url: str

    def put(self, path: Path, name: str) -> Any:
        system, root = self._system()
        target = f"{root}/{name}"
        if not (system.exists(target) and system.size(target) == path.stat().st_size):
            system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            with path.open("rb") as source, system.open(target, "wb") as file:
                shutil.copyfileobj(source, file, PIECE)
        return target

    def pieces(self, handle: Any) -> Iterator[bytes]:
        with self._system()[0].open(handle, "rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def drop(self, handle: Any) -> None:
        self._system()[0].rm(handle)

    def _system(self) -> tuple[Any, str]:
        try:
            import fsspec

            system, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"[engine] storage = {self.url!r}: {error}", "pip install 'kit[ray]'") from error
        return system, root


def store_of(storage: str, root: Path) -> Store:
    """The store that ``[engine] storage`` names; a relative folder starts at the project's ``root``."""
    if not storage:
        return Objects()
    if "://" in storage:
        return UrlStore(storage)
    return Folder((root / Path(storage).expanduser()).resolve())


def read_pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, `PIECE` at a time."""
    with path.open("rb") as file:
        # Not `yield from`: Ray sends into the generators of a task, which a mere iterator does not take.
        while piece := file.read(PIECE):
            yield piece


def write_pieces(path: Path, pieces: Iterator[bytes], sha256: str) -> Path:
    """Write a file from its pieces in one step; raises `KitError` where they are not what was sent."""

    def fill(file: IO[bytes]) -> None:
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != sha256:
            raise KitError(f"{path.name} is corrupted on {os.uname().nodename}", "run the command again to resend it")

    return write_atomic(path, fill)


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

    def in_place(self, table: Path) -> Blob | None:
        """All files that a table of images refers to, which are sent as one; None where there are none."""
        state, shard = table.stat(), shard_file(table, IN_PLACE)
        known = (str(shard), state.st_mtime_ns, state.st_size)
        with self._lock:
            images: object = None if known in self._known else open_images(table)
            if isinstance(images, EncodedImages) and len(images.in_place):
                with tempfile.NamedTemporaryFile(dir=shard.parent, prefix=".", suffix=".tmp") as file:
                    file.writelines(images.contents())
                    file.flush()
                    self._known[known] = self.own(Path(file.name))
            return self._known.get(known)

    def own(self, path: Path) -> Blob:
        """A file that one unit reads."""
        sha = sha256_file(path)
        return Blob(sha, path.stat().st_size, self._store.put(path, f"inputs/{sha}"))


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


def task_spec(unit: Unit, module: str, warehouse: Warehouse, cards: float) -> TaskSpec:
    """What is told for a unit as its files are now: a checkpoint that came back from an earlier attempt goes along."""
    layout, paths = unit.spec.layout, unit.spec.paths
    reads = [layout.data_manifest, layout.index, layout.folds_table(unit.spec.folds), *unit.reads]
    predicted = ("test",) if unit.kind in ("fold", "test") else ()
    parts = dict.fromkeys((*predicted, *(unit.spec.settings.pseudo_parts if unit.kind not in PREDICTING else ())))
    tables = [layout.images, *map(layout.images_of, parts)]
    reads += [unit.spec.run_paths.engine, *(path for table in tables for path in stored_files(table))]
    reads += [path(part) for part in parts for path in (layout.manifest_of, layout.index_of)]
    if unit.kind == "fold":
        reads += [paths.checkpoint(0), paths.checkpoint(1)]
    if unit.kind in PREDICTING:
        reads += [paths.weights, paths.probe]
    packed = {shard_file(table, IN_PLACE): warehouse.in_place(table) for table in tables if table.exists()}
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
        }
        | {str(path.relative_to(layout.root)): blob for path, blob in packed.items() if blob},
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
