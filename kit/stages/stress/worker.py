"""The process of one fold under stress: ``python -m kit.stages.stress.worker stress STRESS-SPEC.json``."""

import sys
from pathlib import Path

from kit.runs.results import PredictionSpec
from kit.runs.units.network import fold_predictor
from kit.runs.units.worker import Report, Reporter, memory_errors, run
from kit.stages.stress.fold import stress_fold


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code."""
    report = Reporter()
    return run(lambda: stress_unit(Path(path), report), report)


def stress_unit(path: Path, report: Report) -> None:
    """Do what the description at ``path`` says."""
    told = PredictionSpec.load(path)
    assert told.plan is not None
    with memory_errors(told.fold):
        predict = fold_predictor(told.fold, told.made_from["weights"])
        stress_fold(told.fold, told.plan, told.made_from, predict, report)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
