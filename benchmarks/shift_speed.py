"""Processor time of a forecast with test images, by a metric and by accuracy in the same run.

    OMP_NUM_THREADS=1 python benchmarks/shift_speed.py --metric auc --classes 200 --rows 2000 --models 4

Predictions are invented: held-out rows, twice as many stressed ones, as many of the test as held-out rows, five folds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from machine import machine

from kit.images.corrupt import STANDARD
from kit.images.corrupt.plan import Mixture
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.forecast import believe, summarise

FOLDS = 5


def predictions(rng: np.random.Generator, y: np.ndarray, classes: int, models: int, damage: np.ndarray) -> np.ndarray:
    """(M, N, C): models see a class through noise, of which all have some in common."""
    shared, found = 0.5 * rng.standard_normal((len(y), classes)), []
    for quality in np.linspace(2, 4, models):
        logits = shared + rng.standard_normal((len(y), classes))
        logits[np.arange(len(y)), y] += quality * (1 - damage)
        proba = np.exp(1.5 * logits)
        found.append(proba / proba.sum(1, keepdims=True))
    return np.array(found)


def invented(metric: str, classes: int, rows: int, models: int) -> Evidence:
    rng = np.random.default_rng(0)
    y, truth = rng.integers(0, classes, rows), rng.integers(0, classes, rows)
    behind = np.r_[np.arange(rows), rng.integers(0, rows, rows)]
    family, degree = rng.choice(list(STANDARD), len(behind)), rng.integers(1, 6, len(behind))
    folds = [predictions(rng, truth, classes, models, np.full(rows, 0.3)) for _ in range(FOLDS)]
    clean = predictions(rng, y, classes, models, np.zeros(rows))
    stressed = predictions(rng, y[behind], classes, models, degree * 0.12)
    names, each = tuple(f"m{model}" for model in range(models)), np.stack(folds, axis=1)
    return Evidence(names, y, clean, behind, family, degree, stressed, each.mean(1), each, FOLDS, metric)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metric", default="auc")
    for name, value in (("classes", 200), ("rows", 2000), ("models", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    print(machine())
    for metric in ("accuracy", options.metric):
        evidence = invented(metric, options.classes, options.rows, options.models)
        started = time.process_time()
        found = summarise(evidence, believe(evidence, Mixture()), options.rows, {}, 0.9)
        spent, said = (
            time.process_time() - started,
            [f"{one.value:.3f} ({one.low:.3f} - {one.high:.3f})" for one in found],
        )
        print(f"  {metric:20s} {spent:6.1f} s of processor time   {', '.join(said[:4])}")


if __name__ == "__main__":
    main()
