"""The process of one unit of training: ``python -m kit.stages.train.worker {fold,features,measure,test} SPEC.json``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from kit.runs.spec import FoldSpec
from kit.runs.units.worker import Report, Reporter, memory_errors, run
from kit.stages.train.interrupt import Interrupt, Interrupted


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
    from kit.stages.train.fold import train_fold
    from kit.stages.train.precision import precision_errors
    from kit.stages.train.trainer import NetworkTrainer

    spec = FoldSpec.load(path)
    with memory_errors(spec), precision_errors(spec):
        train_fold(spec, NetworkTrainer, report, interrupt)


def _features(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.stages.train.features import write_features

    spec = FoldSpec.load(path)
    with memory_errors(spec):
        write_features(spec, report)


def _measure(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.stages.train.measure import measure
    from kit.stages.train.trainer import NetworkTrainer

    spec = FoldSpec.load(path)
    with memory_errors(spec):
        measure(spec, NetworkTrainer, report)


def _test(path: Path, report: Report, interrupt: Interrupt) -> None:
    from kit.runs.results import PredictionSpec
    from kit.runs.units.network import fold_predictor
    from kit.stages.train.fold import predict_test

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
