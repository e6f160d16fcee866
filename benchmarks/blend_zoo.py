"""The blend on real prediction sets: everything is fitted on one half of the rows, scored on the other, 40 times.

    python benchmarks/blend_zoo.py [folder of the prediction sets] [splits]

The folder (by default ``$KIT_SHARED/zoo``) holds ``*.npz`` with ``probabilities`` (M, N, C) and ``labels`` (N,).
Peers in the same run: the plain mean, alone and with a temperature, logistic stacking, and where they are installed
AutoGluon's EnsembleSelection, hillclimbers and CMA-ES (`cma`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from blend_peers import PEERS, STACKS
from machine import machine

from kit.judge import blend, score

TARGETS = {
    "blood": (0.0286, 0.994),
    "organa": (0.0200, 0.993),
    "derma": (0.2445, 0.917),
    "breast": (0.2385, 0.929),
}


def split(job: tuple[Path, int]) -> dict[str, tuple[float, float]]:
    """Return log loss and accuracy on the second half of one random split, by method."""
    path, seed = job
    with np.load(path) as file:
        proba, y = file["probabilities"], file["labels"]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    inside, outside = order[: len(y) // 2], order[len(y) // 2 :]
    fold = rng.permutation(np.arange(len(inside)) % 5)
    fitted = blend.fit(proba[:, inside], y[inside], fold)
    predictions = {"kit": fitted.apply(proba[:, outside]), "plain mean": proba[:, outside].mean(axis=0)}
    for name, weigh in PEERS.items():
        weights = weigh(proba[:, inside], y[inside])
        predictions[name] = np.tensordot(weights, proba[:, outside], 1)
    for name, stack in STACKS.items():
        predictions[name] = stack(proba[:, inside], y[inside], proba[:, outside])
    truth = y[outside]
    return {name: (score.score("nll", truth, p), score.score("accuracy", truth, p)) for name, p in predictions.items()}


def main(folder: Path, splits: int) -> None:
    """Print the mean over the splits beside the targets."""
    print(machine())
    for path in sorted(folder.glob("*.npz")):
        with Pool(2) as pool:
            results = pool.map(split, [(path, seed) for seed in range(splits)])
        for name in results[0]:
            losses, accuracies = np.array([r[name] for r in results]).T
            goal = TARGETS.get(path.stem) if name == "kit" else None
            target = f"  target <= {goal[0]:.4f}, >= {goal[1]:.1%}" if goal else ""
            print(f"{path.stem:10s} {name:28s} log loss {losses.mean():.4f}, accuracy {accuracies.mean():.2%}{target}")


if __name__ == "__main__":
    shared = Path(os.environ.get("KIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "zoo", int(sys.argv[2]) if len(sys.argv) > 2 else 40)
