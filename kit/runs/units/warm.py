"""A process that has loaded TensorFlow and run nothing, of which units are forks: ``python -m kit.runs.units.warm FD``.

Loading TensorFlow and Keras takes 4 to 5 s of processor time, most of what a small fold costs. A fork made before
anything ran is in the state of a new process, so a unit computes the same bytes. Between this process and a unit
stands another fork, which waits for the unit and tells how it ended.
"""

import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from kit.base.process import ENDING
from kit.runs.units.forks import ENDED, STARTED
from kit.runs.units.worker import QUIET, UNUSED

IDLE = 60.0  # seconds without a unit after which the process ends: it holds a third of a gigabyte


def load() -> None:
    """Import what units import, as they would."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # they appear not to be installed
    for module in ("tensorflow", "keras", "kit.stages.train.worker", "kit.stages.stress.worker"):
        importlib.import_module(module)


def serve(channel: socket.socket) -> list[str]:
    """Fork for every request until the other end is closed or idle; returns in units alone, what they are to do."""
    channel.settimeout(IDLE)
    while True:
        try:
            request, given, _, _ = socket.recv_fds(channel, 2**20, 4)
        except TimeoutError:
            if _have_units(os.WNOHANG):
                continue
            request = b""
        _have_units(os.WNOHANG if request else 0)
        if not request:
            os._exit(0)
        if not os.fork():
            channel.close()
            return become_unit(json.loads(request), given)
        for descriptor in given:
            os.close(descriptor)


def _have_units(options: int) -> bool:
    """Whether units run; the processor time of those that have ended is then that of this process's children."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass
        return True
    return False


def become_unit(told: dict[str, Any], given: list[int]) -> list[str]:
    """Fork once more: the unit tells its number and returns what it is to do, this process tells of the unit's end."""
    *streams, status = given
    if unit := os.fork():
        for descriptor in streams:
            os.close(descriptor)
        ended = os.waitstatus_to_exitcode(os.waitpid(unit, 0)[1])
        os.write(status, f"{ENDED} {ended}\n".encode())
        os._exit(0)
    for place, descriptor in enumerate(streams):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    os.write(status, f"{STARTED} {os.getpid()}\n".encode())
    os.close(status)
    return list(told["command"])


if __name__ == "__main__":
    # Signals to the whole group are for units, which take them when they start: the others must be there afterwards.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    load()
    module, *arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    sys.exit(importlib.import_module(module).main(*arguments))
