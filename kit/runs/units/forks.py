"""Units as forks of a process that has TensorFlow loaded (`kit.runs.units.warm`), where the system allows it."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

READ = ("TF_", "XLA_", "KERAS_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "LD_", "PYTHON", "HOME")
"""What the names of variables begin with that are read when TensorFlow and Keras are loaded."""

STARTED, ENDED = "started", "ended"  # what is told of a unit: its number, and how it ended


class Fork:
    """A unit, as the `subprocess.Popen` of one: standard output as text, return code, `terminate`, a context."""

    def __init__(self, pid: int, stdin: int, stdout: int, status: IO[str]) -> None:
        self.pid, self.stdout, self.returncode = pid, os.fdopen(stdout, encoding="utf-8"), 0
        self._stdin, self._status = stdin, status

    def terminate(self) -> None:
        """Ask it to end."""
        if not self._status.closed:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def __enter__(self) -> "Fork":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stdout.close()
        os.close(self._stdin)
        # Who tells of its end says nothing where it was killed together with the unit.
        self.returncode = int(self._status.read().removeprefix(ENDED) or -signal.SIGKILL)
        self._status.close()


class Forks:
    """Keeps one process of which units are forks, for the environment that was asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._warm: tuple[list[tuple[str, str]], socket.socket, subprocess.Popen[bytes]] | None = None

    def __call__(self, command: Sequence[str], errors: int, environment: Mapping[str, str]) -> Fork | None:
        """A unit that runs the ``main`` of a module with arguments, its standard error a file descriptor.

        None where no fork can be had: on other systems than Linux not all libraries bear one.
        """
        if sys.platform != "linux":
            return None
        told = {"command": command, "environment": dict(environment), "folder": str(Path.cwd())}
        channel, request = self._channel(environment), json.dumps(told).encode()
        # It may have ended of idleness just now. Where none can be started at all, nor can a second one.
        return _forked(channel, request, errors) or _forked(self._channel(environment, channel), request, errors)

    def _channel(self, environment: Mapping[str, str], gone: socket.socket | None = None) -> socket.socket:
        """The way to the process for an environment, a new one instead of that which is ``gone``."""
        key = sorted(item for item in environment.items() if item[0].startswith(READ))
        with self._lock:
            if self._warm is None or self._warm[0] != key or self._warm[1] is gone:
                self.end()
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    null, end = subprocess.DEVNULL, theirs.fileno()
                    run = [sys.executable, "-m", "kit.runs.units.warm", str(end)]
                    warm = subprocess.Popen(run, stdin=null, stdout=null, stderr=null, env=environment, pass_fds=[end])
                self._warm = key, ours, warm
            return self._warm[1]

    def end(self) -> None:
        """End the process, if there is one; units that run go on."""
        if self._warm is not None:
            _, channel, warm = self._warm
            channel.close()
            with suppress(subprocess.TimeoutExpired):
                warm.wait(0.5)  # it may be loading
            warm.kill()
            warm.wait()
            self._warm = None


def _forked(channel: socket.socket, request: bytes, errors: int) -> Fork | None:
    (stdin, our_stdin), (our_stdout, stdout), (our_status, status) = os.pipe(), os.pipe(), os.pipe()
    with suppress(OSError):  # then nobody tells of a unit either
        socket.send_fds(channel, [request], [stdin, stdout, errors, status])
    for end in (stdin, stdout, status):
        os.close(end)
    said = os.fdopen(our_status)
    word, _, pid = said.readline().partition(" ")
    if word == STARTED:
        return Fork(int(pid), our_stdin, our_stdout, said)
    said.close()
    os.close(our_stdin)
    os.close(our_stdout)
    return None


FORKS = Forks()
atexit.register(FORKS.end)
