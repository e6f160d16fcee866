"""The process of one unit of training: ``python -m kit.stages.train.worker {fold,features,measure,test} SPEC.json``."""

import sys
from pathlib import Path

from kit.runs.results import PredictionSpec
from kit.runs.spec import FoldSpec
from kit.runs.units.networks import choose_engine, fold_predictor
from kit.runs.units.worker import Report, Reporter, memory_errors, prepare_tensorflow, run
from kit.stages.train.checkpoint import Interrupt, Interrupted
from kit.stages.train.features import write_features
from kit.stages.train.fold import predict_test, train_fold
from kit.stages.train.networks import precision_errors
from kit.stages.train.plan import measure
from kit.stages.train.trainer import NetworkTrainer


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code, 130 or 143 where a signal ended it after a checkpoint."""
    report, interrupt = Reporter(), Interrupt()
    if kind == "fold":
        interrupt.listen()
    try:
        return run(lambda: work(kind, Path(path), report, interrupt), report)
    except Interrupted as ended:
        return ended.code


def work(kind: str, path: Path, report: Report, interrupt: Interrupt) -> None:
    """Do what the description at ``path`` says."""
    told = PredictionSpec.load(path) if kind == "test" else FoldSpec.load(path)
    spec = told if isinstance(told, FoldSpec) else told.fold
    with memory_errors(spec):
        if isinstance(told, PredictionSpec):
            predict = fold_predictor(spec, told.made_from["weights"], report)
            predict_test(spec, told.made_from, predict)
            return
        prepare_tensorflow()
        if kind == "features":
            write_features(spec, report)
        elif kind == "measure":
            measure(spec, NetworkTrainer, report)
            if spec.predict == "auto" and not spec.run_paths.engine.exists():
                choose_engine(spec)
        else:
            with precision_errors(spec):
                train_fold(spec, NetworkTrainer, report, interrupt)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
