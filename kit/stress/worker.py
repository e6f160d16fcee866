"""The process of one fold under stress: ``python -m kit.stress.worker stress STRESS.json``."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kit.corrupt.plan import Plan
from kit.errors import TrainingError
from kit.files import read_json
from kit.runs import FoldSpec
from kit.stress.fold import Predict, stress_fold
from kit.units.worker import Report, Reporter, memory_errors, run

BATCH = 64


def main(kind: str, path: str) -> int:
    """Run the unit; returns the exit code."""
    report = Reporter()
    return run(lambda: _stress(read_json(Path(path)), report), report)


def _stress(description: dict[str, Any], report: Report) -> None:
    spec = FoldSpec.from_json(description["fold"])
    with memory_errors(spec):
        stress_fold(spec, Plan.from_json(description["plan"]), fold_predictor(spec), report)


def fold_predictor(spec: FoldSpec) -> Predict:
    """The trained network of a fold, rebuilt from its description and filled with its weights.

    Raises
    ------
    TrainingError
        Where the weights are missing or of another network.
    """
    from kit.runtime import arrays
    from kit.runtime.backbones import build
    from kit.runtime.forward import compile_forward, logits

    network = build(spec.network())
    try:
        arrays.assign(network.model, str(spec.paths.weights))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"the weights of run `{spec.run}` fold {spec.fold} cannot be read: {error}",
            f"kit train {spec.run} --fold {spec.fold} --force",
        ) from error
    forward = compile_forward(network.model)
    return lambda images, views: logits(forward, images, np.arange(len(images)), views, BATCH)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
