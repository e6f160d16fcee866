"""Standard streams: they may end before the command does, and libraries write to them as well."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HUNG_UP = (errno.EIO, errno.ENXIO)


class Output(io.FileIO):
    """A descriptor whose reader may go away: what is written afterwards goes nowhere, and the command goes on.

    `kit ensemble | head` still writes its files. Where the disk of `> FILE` is full, that is an error, once.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._terminal = self.isatty()

    def write(self, data: ReadableBuffer) -> int:
        """As `io.FileIO.write`."""
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno == errno.EPIPE or (self._terminal and error.errno in HUNG_UP):
                return memoryview(data).nbytes
            raise


def secure() -> None:
    """Make the standard streams of this process safe to use, and able to show any letter, if need be by its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by the caller: the next file that is opened would take its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
        elif mode == "w" and stream is getattr(sys, f"__{name}__"):  # not where a test or a notebook took its place
            buffer = io.BufferedWriter(Output(stream.fileno()))
            lines = name == "stderr" or stream.isatty()
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=lines))


@contextmanager
def without_greeting() -> Iterator[None]:
    """TensorFlow speaks of graphics cards when it starts, before it reads its settings; that goes nowhere."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
