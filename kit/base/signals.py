"""The signals that ask a process to end, and how that is done in order."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

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
