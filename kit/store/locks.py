"""Locks that keep those who write an artefact apart from those who read it.

The system releases a lock however its holder ends. The lock's file lists the processes that took it, so that whoever
is kept out learns by whom; a line of a process that is gone means nothing.
"""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kit.errors import KitError, StageError

LONGEST = 4096  # bytes of a list of holders before those that are gone are removed


@contextmanager
def lock(path: Path, what: str, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
    """Hold the lock at ``path`` while the block runs: alone, or with other ``shared`` holders, who can do without it.

    Raises `StageError` where a process that excludes this one holds it, unless to ``wait`` was asked, and `KitError`
    where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        if shared:
            yield
            return
        raise KitError(f"cannot write {path}: {error.strerror}", f"ls -ld {shlex.quote(str(path.parent))}") from error
    with file:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, mode | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            hint = "wait for it to end, then run the same command"
            raise StageError(f"{_holders(file) or 'another process'} is working on {what}", hint) from None
        command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        with suppress(OSError):  # a disk without room for a line is no reason to stop
            if not shared or os.fstat(file.fileno()).st_size > LONGEST:
                file.truncate(0)
            file.write(f"{os.getpid()} kit {command}\n")
            file.flush()
        yield


def _holders(file: IO[str]) -> str:
    """The holders that are alive, by command and number; empty where none of those listed is."""
    file.seek(0)
    found = {}
    for line in file.read().splitlines():
        pid, _, command = line.partition(" ")
        with suppress(ProcessLookupError, ValueError, OverflowError):
            with suppress(PermissionError):  # it is alive, and another user's
                os.kill(int(pid), 0)
            if int(pid) != os.getpid():
                found[pid] = f"`{command.strip()}` (process {pid})"
    return " and ".join(found.values())
