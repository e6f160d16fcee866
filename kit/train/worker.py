"""The process of one unit of training: ``python -m kit.train.worker {fold,features,measure,test} SPEC.json``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

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
        return run(lambda: unit(Path(path), report, interrupt), report)
    except Interrupted as ended:
        return ended.code


def _fold(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.train.fold import train_fold
    from kit.train.precision import precision_errors
    from kit.train.trainer import NetworkTrainer

    spec = FoldSpec.load(path)
    with memory_errors(spec), precision_errors(spec):
        train_fold(spec, NetworkTrainer, report, interrupt)


def _features(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.train.features import write_features

    spec = FoldSpec.load(path)
    with memory_errors(spec):
        write_features(spec, report)


def _measure(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.train.measure import measure
    from kit.train.trainer import NetworkTrainer

    spec = FoldSpec.load(path)
    with memory_errors(spec):
        measure(spec, NetworkTrainer, report)


def _test(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.results import PredictionSpec
    from kit.train.fold import predict_test
    from kit.units.network import fold_predictor

    wanted = PredictionSpec.load(path)
    spec = wanted.fold
    with memory_errors(spec):
        predict = fold_predictor(spec, wanted.made_from["weights"])
        predict_test(spec, wanted.made_from, lambda images: predict(images, spec.settings.views))


UNITS: dict[str, Callable[[Path, Report, Interrupt], None]] = {
    "fold": _fold,
    "features": _features,
    "measure": _measure,
    "test": _test,
}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
