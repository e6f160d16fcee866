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
        self.returncode = int(self._status.read() or -signal.SIGKILL)
        self._status.close()


class Warm:
    """The process of which units are forks. It ends when nobody has asked it for a minute, or this process ends."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            none, end = subprocess.DEVNULL, theirs.fileno()
            command = [sys.executable, "-m", "kit.runs.units.warm", str(end)]
            self._process = subprocess.Popen(
                command, stdin=none, stdout=none, stderr=none, env=environment, pass_fds=[end]
            )

    def fork(self, command: Sequence[str], errors: int, environment: Mapping[str, str]) -> Fork | None:
        """A unit that runs the ``main`` of a module with arguments; None where the process has ended."""
        told = {"command": command, "environment": dict(environment), "folder": str(Path.cwd())}
        (stdin, our_stdin), (our_stdout, stdout), (our_status, status) = os.pipe(), os.pipe(), os.pipe()
        with suppress(OSError):  # then nobody tells of a unit either
            socket.send_fds(self._channel, [json.dumps(told).encode()], [stdin, stdout, errors, status])
        for end in (stdin, stdout, status):
            os.close(end)
        said = os.fdopen(our_status)
        if pid := said.readline():
            return Fork(int(pid), our_stdin, our_stdout, said)
        said.close()
        os.close(our_stdin)
        os.close(our_stdout)
        return None

    def end(self) -> None:
        """End the process; units that run go on."""
        self._channel.close()
        self._process.kill()
        self._process.wait()


class Forks:
    """Keeps one such process, for the environment that was asked for last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: list[tuple[str, str]] = []
        self._warm: Warm | None = None

    def __call__(self, command: Sequence[str], errors: int, environment: Mapping[str, str]) -> Fork | None:
        """A unit, or None where no fork can be had: on other systems than Linux not all libraries bear one."""
        if sys.platform != "linux":
            return None
        warm = self._for(environment)
        unit = warm.fork(command, errors, environment)
        if unit is None:
            # It may have ended of idleness just now. Where it cannot be started at all, nor can a second one.
            unit = self._for(environment, warm).fork(command, errors, environment)
        return unit

    def _for(self, environment: Mapping[str, str], gone: Warm | None = None) -> Warm:
        """The process for an environment, a new one for that which is ``gone``."""
        key = sorted(item for item in environment.items() if item[0].startswith(READ))
        with self._lock:
            if self._warm is None or self._warm is gone or self._key != key:
                self.end()
                self._key, self._warm = key, Warm(environment)
            return self._warm

    def end(self) -> None:
        """End the process, if there is one."""
        if self._warm is not None:
            self._warm.end()
            self._warm = None


FORKS = Forks()
atexit.register(FORKS.end)
