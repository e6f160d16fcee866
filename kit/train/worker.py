"""The process of one unit of training: ``python -m kit.train.worker {fold,features,measure} SPEC.json``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from kit.files import read_json
from kit.runs import FoldSpec
from kit.train.interrupt import Interrupt, Interrupted
from kit.units.worker import Report, Reporter, memory_errors, run


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code, 130 or 143 where a signal ended it after a checkpoint."""
    report = Reporter()
    interrupt = Interrupt()
    unit = UNITS[kind]
    if kind == "fold":
        interrupt.listen()
    try:
        return run(lambda: unit(FoldSpec.from_json(read_json(Path(path))), report, interrupt), report)
    except Interrupted as ended:
        return ended.code


def _fold(spec: FoldSpec, report: Report, interrupt: Interrupt) -> None:
    from kit.train.fold import train_fold
    from kit.train.precision import precision_errors
    from kit.train.trainer import NetworkTrainer

    with memory_errors(spec), precision_errors(spec):
        train_fold(spec, NetworkTrainer, report, interrupt)


def _features(spec: FoldSpec, report: Report, interrupt: Interrupt) -> None:
    from kit.train.features import write_features

    with memory_errors(spec):
        write_features(spec, report)


def _measure(spec: FoldSpec, report: Report, interrupt: Interrupt) -> None:
    from kit.train.measure import measure
    from kit.train.trainer import NetworkTrainer

    with memory_errors(spec):
        measure(spec, NetworkTrainer, report)


UNITS: dict[str, Callable[[FoldSpec, Report, Interrupt], None]] = {
    "fold": _fold,
    "features": _features,
    "measure": _measure,
}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
