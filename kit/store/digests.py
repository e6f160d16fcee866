"""SHA-256 of files, each content hashed once.

A digest is kept under the file's path, size, modification and change times and inode. A file that changed less than
two seconds before it was hashed is hashed again the next time, because a second change within one tick of the file
system's clock would leave no trace (git calls such an entry racy).
"""

from __future__ import annotations

import atexit
import json
import time
from contextlib import suppress
from pathlib import Path

from kit.errors import KitError
from kit.files import sha256_file, write_atomic

SETTLED_NS = 2_000_000_000
State = tuple[int, int, int, int]


class Digests:
    """Digests of this process, and those of earlier processes from the file it is attached to."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[State, str]] = {}
        self._file: Path | None = None
        self._new = False

    def attach(self, file: Path) -> None:
        """Take over the digests in ``file``, and write new ones there when the process ends."""
        if self._file == file:
            return
        self.save()
        self._file = file
        # A cache: whatever cannot be read is computed again.
        with suppress(OSError, ValueError, TypeError, AttributeError):
            for path, (*state, sha) in json.loads(file.read_text(encoding="utf-8")).items():
                size, mtime, ctime, inode = (int(part) for part in state)
                self._known.setdefault(path, ((size, mtime, ctime, inode), str(sha)))

    def of(self, path: Path) -> str:
        """Hexadecimal SHA-256 of the bytes of ``path``; raises `OSError` where it cannot be read."""
        name = str(path.absolute())
        state = _state(path)
        known = self._known.get(name)
        if known is not None and known[0] == state:
            return known[1]
        sha = sha256_file(path)
        after = _state(path)
        if after == state and time.time_ns() - max(state[1], state[2]) > SETTLED_NS:
            self._known[name], self._new = (state, sha), True
        return sha

    def save(self) -> None:
        """Write what was learnt; a project that cannot be written does without."""
        if self._file is None or not self._new or not self._file.parent.is_dir():
            return
        kept = {path: [*state, sha] for path, (state, sha) in self._known.items() if Path(path).exists()}
        with suppress(KitError, OSError):
            write_atomic(self._file, json.dumps(kept, separators=(",", ":")))
        self._new = False


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


DIGESTS = Digests()
atexit.register(DIGESTS.save)


def digest(path: Path) -> str:
    """`Digests.of` this process's digests."""
    return DIGESTS.of(path)
