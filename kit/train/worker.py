"""The process of one unit: ``python -m kit.train.worker {fold,features} SPEC.json``.

Progress goes to standard output, one JSON object a line; a user's mistake is such a line too, with exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.errors import KitError, TrainingError
from kit.files import read_json
from kit.runs import FoldSpec
from kit.train.interrupt import Interrupt, Interrupted

Report = Callable[[dict[str, Any]], None]

THREADS = 2


class Reporter:
    """Prints reports, steps at most every fifth of a second: a pipe that nobody empties must not slow training."""

    def __init__(self) -> None:
        self._last = 0.0
        # Keras prints of its downloads to standard output: that goes with the other talk, reports keep the pipe.
        self._pipe, sys.stdout = sys.stdout, sys.stderr

    def __call__(self, line: dict[str, Any]) -> None:
        now = time.monotonic()
        throttled = line["event"] in ("step", "features")
        if throttled and now - self._last < 0.2:
            return
        self._last = now
        print(json.dumps(line), file=self._pipe, flush=True)


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code, 130 or 143 where a signal ended it after a checkpoint."""
    report = Reporter()
    interrupt = Interrupt()
    try:
        run = UNITS[kind]
        if kind == "fold":
            interrupt.listen()
        _prepare_tensorflow()
        run(FoldSpec.from_json(read_json(Path(path))), report, interrupt)
    except KitError as error:
        report({"event": "error", "type": type(error).__name__, "message": error.message, "hint": error.hint})
        return 1
    except Interrupted as ended:
        return ended.code
    except KeyboardInterrupt:
        return 130
    return 0


def _fold(spec: FoldSpec, report: Report, interrupt: Interrupt) -> None:
    from kit.train.fold import train_fold
    from kit.train.trainer import NetworkTrainer

    with _memory_errors(spec):
        train_fold(spec, NetworkTrainer, report, interrupt)


def _features(spec: FoldSpec, report: Report, interrupt: Interrupt) -> None:
    from kit.train.features import write_features

    with _memory_errors(spec):
        write_features(spec, report)


UNITS: dict[str, Callable[[FoldSpec, Report, Interrupt], None]] = {"fold": _fold, "features": _features}


@contextmanager
def _memory_errors(spec: FoldSpec) -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise TrainingError(
            f"run `{spec.run}` fold {spec.fold} does not fit into memory",
            f"[runs.{spec.run}] batch_size = {max(1, spec.settings.batch_size // 2)}, or [train] workers = 1",
        ) from error


def _prepare_tensorflow() -> None:
    """Fixed numbers of threads and deterministic kernels: the same bytes however many units run side by side."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    tf.config.experimental.enable_op_determinism()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
