"""How often the 95 % interval holds where rows are near copies of each other, or of one patient.

    python benchmarks/score_groups.py [sets] [rows]

Each simulated set has groups of geometric size (mean 4). Copies share the label and nearly all of what networks see,
patients the label and a half of it; independent rows are groups of one. Held is the share of the sets whose interval
contains the score of a population of 400,000 rows, for one network, and for the difference between two. The last lines
are of 40 equally good networks: by how much the score of the one that looks best flatters, and what is said of it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from functools import partial
from multiprocessing import Pool

import numpy as np
from blend_libraries import softmax
from machine import machine
from numpy.typing import NDArray

from kit.judge import score

METRICS = ("nll", "brier", "accuracy", "macro_f1", "auc")
CLASSES, MEAN_SIZE, POPULATION = 5, 4, 400_000
OWN = {"copies": 0.1, "patients": 0.7}  # part of the noise that each row has for itself, the rest is the group's
Drawn = tuple[NDArray, NDArray, NDArray]


def draw(kind: str, seed: int, rows: int, networks: int = 2) -> Drawn:
    """Return (K, N, C) probabilities of networks, labels and groups; the second network is a little worse."""
    rng = np.random.default_rng([sorted([*OWN, "rows"]).index(kind), seed])
    sizes = rng.geometric(1 / MEAN_SIZE, size=rows) if kind in OWN else np.ones(rows, dtype=np.int64)
    group = np.repeat(np.arange(len(sizes)), sizes)[:rows]
    y = rng.choice(CLASSES, p=[0.4, 0.25, 0.15, 0.12, 0.08], size=rows)[group]
    own = OWN.get(kind, 1.0)

    def noise() -> NDArray:
        shared, alone = (rng.normal(size=(rows, CLASSES)) for _ in range(2))
        return np.sqrt(1 - own**2) * shared[group] + own * alone

    common = 2.2 * np.eye(CLASSES)[y] + noise()
    level = np.where(np.arange(networks) == 1, 0.8, 0.6) if networks == 2 else np.full(networks, 0.6)
    return np.stack([softmax(common + each * noise()) for each in level]), y, group


def truth() -> dict[str, tuple[float, float]]:
    """Scores of the two networks in the population, whose rows are alike one by one whatever their groups are.

    Independent rows know it best: the error of as many rows in groups is twice as large.
    """
    proba, y, _ = draw("rows", 10**6, POPULATION)
    return {metric: (score.score(metric, y, proba[0]), score.score(metric, y, proba[1])) for metric in METRICS}


def held(kind: str, rows: int, true: dict[str, tuple[float, float]], seed: int) -> list[list[bool]]:
    """Whether each metric's interval, and that of the difference, holds by group and as if rows were independent."""
    (one, other), y, group = draw(kind, seed, rows)
    found = []
    for metric, (first, second) in true.items():
        for groups in (group, None):
            single = score.interval(metric, y, one, seed=0, groups=groups)
            pair = score.difference(metric, y, one, other, seed=0, groups=groups)
            found.append([single.low <= first <= single.high, pair.low <= first - second <= pair.high])
    return found


def flattered(true: float, seed: int) -> tuple[float, float]:
    """By how much the best of 40 equal networks flatters, and what is said of it, in its standard errors."""
    proba, y, group = draw("patients", seed, 1000, networks=40)
    said, error = score.flattery("accuracy", y, list(proba), seed=0, groups=group)
    best = max(score.score("accuracy", y, p) for p in proba)
    return (best - true) / error, said / error


def main(sets: int, rows: int) -> None:
    """Print the shares held, by group and by row, for one score and for a difference."""
    print(machine())
    true = truth()
    with Pool(2) as pool:
        for kind in (*OWN, "rows"):
            found = np.mean(pool.map(partial(held, kind, rows, true), range(sets)), axis=0)
            for number, metric in enumerate(METRICS):
                by_group, by_row = (
                    f"score {single:.1%} difference {pair:.1%}" for single, pair in found[2 * number : 2 * number + 2]
                )
                print(f"{kind:9s} {rows} rows {metric:9s} by group: {by_group}   by row: {by_row}", flush=True)
        real, said = np.mean(pool.map(partial(flattered, true["accuracy"][0]), range(sets // 4)), axis=0)
        print(f"best of 40 equal networks: flatters by {real:.2f} standard errors, said {said:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
