"""The process of one unit: ``python -m kit.train.worker {fold,features} SPEC.json``.

Progress goes to standard output, one JSON object a line; a user's mistake is such a line too, with exit code 1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.files import read_json

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
    """Run the unit; returns the exit code."""
    from kit.runs import FoldSpec

    report = Reporter()
    try:
        spec = FoldSpec.from_json(read_json(Path(path)))
        _prepare_tensorflow()
        if kind == "features":
            from kit.train.features import write_features

            write_features(spec, report)
        else:
            from kit.train.fold import train_fold

            train_fold(spec, report)
    except KitError as error:
        report({"event": "error", "type": type(error).__name__, "message": error.message, "hint": error.hint})
        return 1
    return 0


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
