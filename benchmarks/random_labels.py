"""Random labels: whether the accuracy out of fold is chance where early stopping chose the epoch.

    python benchmarks/random_labels.py FOLDER [--seeds 20] [--backbone two-conv-cnn]

600 pictures of noise of 16 px, 150 of each of four classes, dealt at random: nothing can be learnt, and chance is
exactly .25. Four folds, 25 epochs at a constant rate, early stopping that never ends a stage but keeps the best epoch
by accuracy or by log loss, on the rows that ``inner_fraction`` holds back. The peer is what the kit did before: the
best epoch of the same trainings by the held-out fold itself.

Of every seed z = (accuracy - .25) / its standard error under chance, and whether the kit's 95 % interval holds .25. The
law: the mean z of 20 seeds is within .5 of 0, 2.2 of its standard errors (with fewer seeds as many), and 85 % of the
intervals hold chance. Exit code 1 where it is broken, or where the peer by accuracy keeps it: then the benchmark saw
nothing. FOLDER keeps the seeds that are finished.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import machine

from kit.config import load
from kit.judge.score import interval
from kit.project import Project
from kit.runs.spec import FoldSpec, plan_runs
from kit.runs.units.worker import prepare_tensorflow
from kit.stages.train.checkpoint import Interrupt
from kit.stages.train.fold import train_fold
from kit.stages.train.trainer import NetworkTrainer
from kit.store.files import read_csv, write_json
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

N, CLASSES, FOLDS = 600, 4, 4
CHANCE = 1 / CLASSES
SELECTIONS = {"accuracy": max, "nll": min}
CONFIG = """
[data]
train = "noise.npz"
[folds]
n = {folds}
[runs.accuracy]
backbone = "{backbone}"
views = ["identity"]
seed = {seed}
stages = [{{ train = "all", epochs = {epochs}, lr = 2e-3, schedule = "constant", early_stopping = {{ metric = "accuracy", patience = {epochs} }} }}]
[runs.nll]
extends = "accuracy"
stages = [{{ train = "all", epochs = {epochs}, lr = 2e-3, schedule = "constant", early_stopping = {{ metric = "nll", patience = {epochs} }} }}]
"""  # noqa: E501


class Verdict(NamedTuple):
    """Of all seeds of one way to choose: the mean z, and how many of the intervals hold chance."""

    z: float
    held: int
    seeds: int

    @property
    def honest(self) -> bool:
        return abs(self.z) <= 0.5 * math.sqrt(20 / self.seeds) and self.held >= math.floor(0.85 * self.seeds)


def train_seed(folder: Path, seed: int, backbone: str, epochs: int) -> dict[str, int]:
    """Rows that are right out of fold: for each metric by inner rows, and as ``<metric> held-out`` by the peer."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(N) % CLASSES)
    np.savez(folder / "noise.npz", images=rng.integers(0, 256, (N, 16, 16, 3), dtype=np.uint8), labels=labels)
    (folder / "kit.toml").write_text(CONFIG.format(folds=FOLDS, backbone=backbone, seed=seed, epochs=epochs))
    Project(folder, emit=lambda event: None).folds()
    layout, right = Layout(folder), dict[str, int]()
    for metric, folds in plan_runs(layout, load(layout.config), ()).items():
        found = [train_one(spec, labels, metric) for spec in folds]
        right[metric], right[f"{metric} held-out"] = (sum(counts) for counts in zip(*found, strict=True))
    return right


def train_one(spec: FoldSpec, labels: np.ndarray, metric: str) -> tuple[int, int]:
    """Held-out rows of a fold that are right by the kept epoch, and by the epoch that these rows would choose."""
    import keras

    if not spec.paths.valid.exists():
        train_fold(spec, NetworkTrainer, lambda line: None, Interrupt())
        keras.backend.clear_session()
    valid = load_predictions(spec.paths.valid)
    y = labels[[int(name) for name in valid.ids.tolist()]]
    epochs = read_csv(spec.paths.history)
    best = SELECTIONS[metric](epochs, key=lambda epoch: float(epoch[f"valid_{metric}"]))
    kept = int((valid.logits[0].argmax(axis=1) == y).sum())
    return kept, round(float(best["valid_accuracy"]) * len(y))


def judged(right: list[int]) -> Verdict:
    """The accuracies of all seeds against chance."""
    z = [(count / N - CHANCE) / math.sqrt(CHANCE * (1 - CHANCE) / N) for count in right]
    held = 0
    for count in right:
        found = interval("accuracy", np.zeros(N, np.int64), np.eye(2)[(np.arange(N) >= count).astype(int)], seed=0)
        held += found.low <= CHANCE <= found.high
    return Verdict(float(np.mean(z)), held, len(right))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--backbone", default="two-conv-cnn")
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    print(machine(), flush=True)
    prepare_tensorflow()
    seeds = []
    for seed in range(options.seeds):
        path = options.folder / f"{options.backbone}-{options.epochs}-{seed}.json"
        if not path.exists():
            project = options.folder / path.stem
            write_json(path, train_seed(project.resolve(), seed, options.backbone, options.epochs))
            shutil.rmtree(project)
        seeds.append(json.loads(path.read_bytes()))
        print(f"seed {seed}: " + ", ".join(f"{name} {count / N:.4f}" for name, count in seeds[-1].items()), flush=True)
    verdicts = {name: judged([seed[name] for seed in seeds]) for name in seeds[0]}
    for name, found in verdicts.items():
        what = "honest" if found.honest else "not honest"
        print(f"{name}: mean z {found.z:+.2f}, {found.held} of {found.seeds} intervals hold chance: {what}")
    kept = all(verdicts[metric].honest for metric in SELECTIONS)
    return int(not kept or verdicts["accuracy held-out"].honest)


if __name__ == "__main__":
    sys.exit(main())
