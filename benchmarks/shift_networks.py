"""Stress, forecast and `fit_on` with the kit's own networks on the practice competition; the peer is the clean score.

    python benchmarks/shift_networks.py --work work

Four small networks on three folds, two of them trained with corrupted-looking pictures. The hidden test is given as
test images without labels; its labels are read in the last lines only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from machine import machine

from kit.images.sources import practice
from kit.judge.blend import FIT_ON
from kit.judge.score import score
from kit.project import Project
from kit.runs.spec import plan_runs
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.forecast.forecast import forecast
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import unlabelled_ids
from kit.store.predictions import load_predictions

CONFIG = """
[data]
train = "train.npz"
test = "test.npz"
[folds]
n = 3
[ensemble]
runs = ["plain", "residual", "plain-hard", "residual-hard"]
[runs.plain]
backbone = "plain-cnn"
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = EPOCHS, lr = 2e-3 }]
[runs.residual]
extends = "plain"
backbone = "residual-cnn"
[runs.plain-hard]
backbone = "plain-cnn"
stages = [{ train = "all", epochs = EPOCHS, lr = 2e-3 }]
augment = [{ op = "dihedral" }, { op = "randaugment", ops = 2, magnitude = 0.5 }]
[runs.residual-hard]
extends = "plain-hard"
backbone = "residual-cnn"
"""


def make(work: Path, epochs: int, seed: int) -> np.ndarray:
    """Write the project; returns the labels of the test."""
    work.mkdir(parents=True, exist_ok=True)
    made = practice.make(seed=seed)
    np.savez(work / "train.npz", images=made.images, labels=made.labels)
    np.savez(work / "test.npz", images=made.test_images)
    (work / "kit.toml").write_text(CONFIG.replace("EPOCHS", str(epochs)), encoding="utf-8")
    return np.asarray(made.test_labels)


def timed(name: str, work: object) -> object:
    started = time.perf_counter()
    result = work()  # type: ignore[operator]
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    truth = make(options.work, options.epochs, options.seed)
    project = Project(options.work)
    timed("kit train", project.train)
    timed("kit stress", project.stress)
    for name in FIT_ON:
        settings = project.config.ensemble.model_copy(update={"fit_on": name})
        ensemble(project.layout, project.config.model_copy(update={"ensemble": settings}), lambda event: None)
    records = timed("kit forecast", lambda: forecast(project.layout, project.config, say))
    report(project, records, truth)


def say(event: object) -> None:
    if event.kind == "say":  # type: ignore[attr-defined]
        print("  " + event.text)  # type: ignore[attr-defined]


def report(project: Project, records: list[ForecastRecord], truth: np.ndarray) -> None:
    """Clean, stressed, forecast and score of every run and ensemble."""
    assert len(unlabelled_ids(project.layout, "test")) == len(truth)
    specs = plan_runs(project.layout, project.config, ())
    tests = {name: load_predictions(folds[0].run_paths.test) for name, folds in specs.items()}
    names = ("clean", "stress", "fcast", "score", "low", "high")
    print(" " * 26 + "".join(f" {name:>7s}" for name in names) + "  log loss on the test")
    for record in records:
        if record.kind == "run":
            name, proba = record.name, tests[record.name].first
        else:
            found = Ensemble.load(project.layout.submission(record.name).ensemble)
            stack = np.stack([tests[one.run].select(found.views).proba for one in found.members])
            name, proba = f"blend, {found.fit_on}", found.blend.apply(stack)
        right, loss = score("accuracy", truth, proba), score("nll", truth, proba)
        cells = (record.clean, record.stressed, record.value, right, record.low, record.high)
        print(f"{name:26s} " + " ".join(f"{cell:7.4f}" for cell in cells) + f"  {loss:.4f}")


if __name__ == "__main__":
    main()
