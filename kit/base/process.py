"""What a process owes its surroundings: standard streams that may end before it does, and signals that end it."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HUNG_UP = (errno.EIO, errno.ENXIO)


class Output(io.FileIO):
    """A descriptor whose reader may go away: what is written then goes nowhere. A full disk is an error, once."""

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


# Ctrl-C, `kill`, a closed terminal, and the processor time of `ulimit -t`.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
Handler = Callable[[int, FrameType | None], object]


def take(numbers: Iterable[int], handler: Handler) -> None:
    """Handle these signals, but those that the caller ignores, as nohup does."""
    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """Let a signal end the block as Ctrl-C does: temporary files go, units finish their step and write a checkpoint."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.getsignal(number)) for number in ENDING[1:]]
    take(ENDING[1:], end)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
