"""Ctrl-C, SIGTERM, SIGHUP: finish the step, write a checkpoint, then end."""

import signal
from types import FrameType

from kit.base.process import ENDING, take


class Interrupted(BaseException):
    """The process was asked to end and has saved what it did; ``code`` is 128 plus the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class Interrupt:
    """Remembers the first signal that asked the process to end."""

    def __init__(self) -> None:
        self.came = 0

    def listen(self) -> "Interrupt":
        """Take the signals that end a process from now on; further ones change nothing."""
        take(ENDING, self._take)
        return self

    def check(self) -> None:
        """Raise `Interrupted` where a signal came."""
        if self.came:
            raise Interrupted(self.came)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.came = self.came or number
