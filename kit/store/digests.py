"""SHA-256 of files, each content hashed once.

A digest is kept under the file's path, size, modification and change times and inode. A file that changed less than
two seconds before it was hashed is hashed again the next time, because a second change within one tick of the file
system's clock would leave no trace (git calls such an entry racy).
"""

import atexit
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kit.errors import KitError
from kit.store.files import sha256_file, write_atomic

SETTLED_NS = 2_000_000_000
State = tuple[int, int, int, int]
Size = tuple[int, ...]


class Digests:
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
        with suppress(OSError, ValueError, TypeError, AttributeError):
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
        with suppress(KitError, OSError):
            write_atomic(self._file, json.dumps(kept, separators=(",", ":")))
        self._new = False


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


DIGESTS = Digests()
atexit.register(DIGESTS.save)
digest = DIGESTS.of
