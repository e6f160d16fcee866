"""How files travel between the machine that asks and those that work: an object store, a folder, a URL."""

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kit.errors import ConfigError, KitError
from kit.runs.engine.cluster import ray
from kit.store.files import write_atomic

# Of a file that is sent: large enough to be quick, small beside the memory of any machine.
PIECE = 32 << 20


@dataclass(frozen=True)
class Blob:
    """A file somewhere: the hash and the number of its bytes, and what its store needs to find it."""

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

    def place(self, handle: Any) -> Path | None:
        """Where this machine can read the file without a copy."""
        return None

    @abstractmethod
    def drop(self, handle: Any) -> None:
        """Forget a file."""


class Objects(Store):
    """In Ray's object store; what it holds, it holds for as long as the driver knows the handle."""

    streams = True

    def put(self, path: Path, name: str) -> Any:
        return [ray.put(piece) for piece in read_pieces(path)]

    def pieces(self, handle: Any) -> Iterator[bytes]:
        for reference in handle:
            # Not `ray.get`: a task that waits there gives its processor away.
            yield reference.future().result()

    def drop(self, handle: Any) -> None:
        """Nothing to do: it goes with its last reference."""


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

    def place(self, handle: Any) -> Path | None:
        return Path(handle)

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
