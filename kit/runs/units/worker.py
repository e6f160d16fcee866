"""What the processes of all units have in common: reports on standard output, errors as reports, TensorFlow set up.

Progress goes to standard output, one JSON object a line; a user's mistake is such a line too, with exit code 1.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import JsonValue

from kit.errors import OutOfMemoryError
from kit.runs.spec import FoldSpec
from kit.runtime.lazy import tf
from kit.store.files import mendable

# What a unit says, as a line of JSON: the `event`, and what belongs to it.
ReportLine = dict[str, JsonValue]
Report = Callable[[Mapping[str, str | float]], None]

THREADS = 2
FREQUENT = ("step", "features", "pictures")
# Keras and keras-cv import these where they are installed, for wrappers and plots that no unit needs: a third of the
# time that a process takes to start.
UNUSED = ("matplotlib", "pandas", "sklearn")
QUIET = "2"  # TensorFlow's errors only
# Set by the starter of a process that holds the other end of its standard input.
PARENT = "KIT_PARENT"
BATCH = 64
# Logits (V, N, C) of rows of images under views.
Predict = Callable[[Any, Any, tuple[str, ...]], Any]


class Reporter:
    """Prints reports, frequent ones at most every fifth of a second: a full pipe must not slow the work."""

    def __init__(self) -> None:
        self._last = 0.0
        # Keras prints of its downloads to standard output: that goes with the other talk, reports keep the pipe.
        self._pipe, sys.stdout = sys.stdout, sys.stderr

    def __call__(self, line: Mapping[str, str | float]) -> None:
        now = time.monotonic()
        if line["event"] in FREQUENT and now - self._last < 0.2:
            return
        self._last = now
        print(json.dumps(line), file=self._pipe, flush=True)


def run(work: Callable[[], None], report: Report) -> int:
    """Do the work; returns the exit code and reports what a user can mend."""
    end_with_parent()
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # they appear not to be installed
    try:
        work()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        known = mendable(error)
        if known is None:
            raise
        report({"event": "error", "type": type(known).__name__, "message": known.message, "hint": known.hint})
        return 1
    return 0


def end_with_parent() -> None:
    """Die when the process that started this one is gone: nobody would take up what is written from then on."""

    def watch() -> None:
        while os.read(0, 1):  # nothing is ever written: it returns when the other end is closed
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    if os.environ.pop(PARENT, ""):
        threading.Thread(target=watch, daemon=True).start()


@contextmanager
def memory_errors(spec: FoldSpec) -> Iterator[None]:
    """Turn a lack of memory into an `OutOfMemoryError` that says what to change."""
    try:
        yield
    except with_tensorflow("ResourceExhaustedError", MemoryError) as error:
        hint = f"[runs.{spec.run}] batch_size = {max(1, spec.settings.batch_size // 2)}, or [train] workers = 1"
        raise OutOfMemoryError(f"run `{spec.run}` fold {spec.fold} does not fit into memory", hint) from error


def with_tensorflow(name: str, *errors: type[Exception]) -> tuple[type[Exception], ...]:
    """Classes of errors, and one of TensorFlow if it is loaded: that takes seconds, and without it there are none."""
    return (*errors, getattr(tf.errors, name)) if "tensorflow" in sys.modules else errors


def prepare_tensorflow() -> None:
    """Fixed numbers of threads and deterministic kernels: the same bytes however many units run side by side."""
    # Deterministic kernels cost 5 to 6 % of the speed on a processor (docs/training.md).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
    with suppress(RuntimeError):  # where something has run before, which keeps its threads
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_op_determinism()
