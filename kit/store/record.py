"""What a stage says of the files it wrote: one frozen class per kind of record, checked once when it is read.

On the disk a record is JSON with its ``version`` and a ``digest`` of the rest, so that a record that was edited, cut
off or written by another version of the kit is recognised as such. In the program it is never a dictionary.

The content of a file is hashed once: its digest is kept under its path, size, modification and change times and inode.
A file that changed less than two seconds before it was hashed is hashed again the next time, because a second change
within one tick of the file system's clock would leave no trace (git calls such an entry racy).
"""

import atexit
import hashlib
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kit.errors import KitError, StageError
from kit.store.files import sha256_file, sha256_json, write_atomic, write_json

Digests = dict[str, str]
T = TypeVar("T")
SETTLED_NS = 2_000_000_000
State = tuple[int, int, int, int]
Size = tuple[int, ...]


class KnownDigests:
    """Digests of this process, and those of earlier processes from the file it is attached to."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[State, str, Size]] = {}
        self._file: Path | None = None
        self._new = False

    def attach(self, file: Path) -> None:
        """Take over the digests in ``file``, and write new ones there when the process ends."""
        if self._file == file:
            return
        self.save()
        self._file = file
        # A cache: whatever cannot be read is computed again.
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            for path, (length, mtime, ctime, inode, sha, *size) in json.loads(file.read_bytes()).items():
                state = int(length), int(mtime), int(ctime), int(inode)
                self._known.setdefault(path, (state, str(sha), tuple(map(int, size))))

    def of(self, path: Path) -> str:
        """Hexadecimal SHA-256 of the bytes of ``path``; raises `OSError` where it cannot be read."""
        return self.of_image(path)[0]

    def of_image(self, path: Path, measure: Callable[[bytes], Size] | None = None) -> tuple[str, Size]:
        """The digest of a file, and what ``measure`` says of its content, both without reading it twice."""
        name, state = str(path.absolute()), _state(path)
        if name in self._known and self._known[name][0] == state:
            return self._known[name][1:]
        content = path.read_bytes() if measure else b""
        sha = hashlib.sha256(content).hexdigest() if measure else sha256_file(path)
        size = measure(content) if measure else ()
        if _state(path) == state and time.time_ns() - max(state[1], state[2]) > SETTLED_NS:
            self._known[name], self._new = (state, sha, size), True
        return sha, size

    def save(self) -> None:
        """Write what was learnt; a project that cannot be written does without."""
        if self._file is None or not self._new or not self._file.parent.is_dir():
            return
        kept = {path: [*state, sha, *size] for path, (state, sha, size) in self._known.items() if Path(path).exists()}
        write_cache(self._file, json.dumps(kept, separators=(",", ":")).encode())
        self._new = False


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


DIGESTS = KnownDigests()
atexit.register(DIGESTS.save)
digest = DIGESTS.of


class Part(BaseModel):
    """A part of a record: frozen, with no unknown keys and no number that is not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(Part):
    """A score with its 95 % interval."""

    score: float
    low: float
    high: float


class Record(Part):
    """Base of all records.

    ``VERSION`` is that of the record's form: a record of another version is refused, one of ``OLDER`` versions, which
    earlier kits wrote (None = without a version), is made again or read through `upgraded`. ``COMMAND`` is what writes
    the record again: the hint where it cannot be read.
    """

    VERSION: ClassVar[int] = 1
    OLDER: ClassVar[tuple[int | None, ...]] = ()
    COMMAND: ClassVar[str] = ""

    @classmethod
    def load(cls, path: Path, command: str = "") -> Self:
        """Read a record; `StageError` with the hint ``command``, or `COMMAND`, where it is missing or was changed."""
        hint = command or cls.COMMAND
        content = _read(path, hint)
        version, said = content.pop("version", None), content.pop("digest", None)
        if version != cls.VERSION:
            older = cls._is_older(version)
            upgraded = cls.upgraded(content) if older else None
            if upgraded is None:
                known = "an older version of the kit" if older else "a version of the kit that this one does not know"
                raise StageError(f"{path} has version {version}, written by {known}", hint)
            content = upgraded
        elif said != sha256_json(content):
            raise StageError(f"{path} was changed after the kit wrote it", hint)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise StageError(f"{path}: {first_problem(error)}", hint) from None

    @classmethod
    def _is_older(cls, version: object) -> bool:
        return version in cls.OLDER and not isinstance(version, bool)

    @classmethod
    def upgraded(cls, content: dict[str, Any]) -> dict[str, Any] | None:
        """The content of an older version in the present form; None where it cannot be read any more."""
        return None

    def save(self, path: Path) -> Path:
        """Write the record in one step that a crash cannot halve."""
        content = self.model_dump(mode="json")
        return write_json(path, {**content, "version": self.VERSION, "digest": sha256_json(content)})


class Made(Record):
    """A record of files, with all that they were made from.

    ``made_from`` has by name the digest of the content of each input, of the part of the configuration that matters,
    and the version of the stage: the files are fresh where this, computed anew, is the same. ``files`` has the name,
    relative to the record's folder, and the SHA-256 of each file.
    """

    made_from: Digests
    files: Digests = Field(default_factory=dict)

    @property
    def key(self) -> str:
        """One hash of all that the files were made from."""
        return sha256_json(self.made_from)

    def check(self, folder: Path, command: str = "", *names: str) -> None:
        """Raise `StageError` where a file (one of ``names``, or any) is missing or is not the one that was written."""
        hint = command or self.COMMAND
        for name in names or self.files:
            path = folder / name
            if name not in self.files:
                raise StageError(f"{path} is not in the list of files that the kit wrote", hint)
            try:
                same = digest(path) == self.files[name]
            except OSError as error:
                raise _unreadable(path, error, hint) from None
            if not same:
                raise StageError(f"{path} was changed after the kit wrote it", hint)

    @classmethod
    def fresh(
        cls, path: Path, made_from: Mapping[str, str], command: str = "", needed: Sequence[str] = (), free: str = ""
    ) -> Self | None:
        """The record at ``path`` if it was made from just this and its files are there; None where it has to be made.

        ``made_from`` is computed anew; ``command`` is the hint where something is damaged, instead of `COMMAND`;
        ``needed`` are the only files that have to be there, by default all; ``free`` is an input that may be another.

        Raises `StageError` where the record or one of its files was changed after it was written: nothing that a person
        may have edited is overwritten unasked.
        """
        if not path.exists() or cls._is_older(_read(path, command or cls.COMMAND).get("version")):
            return None
        record = cls.load(path, command)
        names = needed or tuple(record.files)
        told = {name: found for name, found in record.made_from.items() if name != free}
        if told != dict(made_from) or not all((path.parent / name).exists() for name in names):
            return None
        record.check(path.parent, command, *names)
        return record


def digests_of(folder: Path, *paths: Path) -> Digests:
    """By name relative to ``folder`` the SHA-256 of files."""
    return {str(path.relative_to(folder)): digest(path) for path in paths}


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found, on one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def read(path: Path, parse: Callable[[bytes], T], hint: str = "") -> T:
    """The content of ``path`` as ``parse`` understands it, usually `pydantic.BaseModel.model_validate_json`.

    ``hint`` is the command that makes the file again; where there is none, the file cannot be made again, so it is set
    aside and not deleted. Raises `StageError` where the file is missing, cannot be read, or is of another shape.
    """
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error, hint) from None
    except (ValueError, RecursionError) as error:
        said = first_problem(error) if isinstance(error, ValidationError) else str(error)[:200]
        raise StageError(f"{path} is damaged: {said}", hint or aside(path)) from None


def _unreadable(path: Path, error: OSError, hint: str) -> StageError:
    if isinstance(error, FileNotFoundError):
        return StageError(f"{path} is missing", hint)
    hint = "" if isinstance(error, IsADirectoryError) else hint  # no command removes a folder that the kit did not make
    return StageError(f"{path} cannot be read: {error.strerror}", hint or aside(path))


def aside(path: Path) -> str:
    """The hint that sets a damaged file aside, where nobody reads it and nothing of it is lost."""
    name, damaged = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    return f"mv {name} {damaged}   # where it is committed, this brings it back: git checkout -- {name}"


def read_cache(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """`read` for what only costs time to make again: None where it is missing or damaged."""
    try:
        return parse(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_cache(path: Path, content: bytes) -> None:
    """Keep what can be made again; a project that cannot be written does without."""
    with suppress(KitError, OSError):
        write_atomic(path, content)


def _read(path: Path, hint: str) -> dict[str, Any]:
    content = read(path, lambda text: json.loads(text.decode("utf-8")), hint)
    if not isinstance(content, dict):
        raise StageError(f"{path} is damaged: it contains a {type(content).__name__}, not a record", hint)
    return content
