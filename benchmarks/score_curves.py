"""The 95 % interval of areas under curves where few rows are positive, beside a bootstrap of the rows.

    python benchmarks/score_curves.py [sets]

Scores of positives and negatives are normal with equal variance. The peer is the percentile interval of 400 resamples
of the rows, each scored anew by scikit-learn. Held is the share of the sets whose interval has the area of a large
population, width the mean length, and score the interval score (Gneiting & Raftery 2007): the width, and 40 times by
how much the interval misses.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from functools import partial
from multiprocessing import Pool

import numpy as np
from machine import machine
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from kit.judge import score

PEERS = {"auc": roc_auc_score, "average_precision": average_precision_score}
# Rows, positives, distance of the means.
SETTINGS = ((40, 8, 1.0), (150, 27, 2.5), (500, 20, 2.3), (500, 250, 1.2), (1000, 500, 3.3))


def draw(rows: int, positives: int, apart: float, seed: int) -> tuple[NDArray, NDArray]:
    """Labels and scores (N,)."""
    y = np.repeat([0, 1], [rows - positives, positives])
    return y, np.random.default_rng(seed).normal(apart * y)


def intervals(metric: str, rows: int, positives: int, apart: float, seed: int) -> list[tuple[float, float]]:
    """Both intervals of one set."""
    y, s = draw(rows, positives, apart, seed)
    found = score.interval(metric, y, np.stack([expit(-s), expit(s)], axis=1), seed=0)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(400):
        picks = rng.integers(rows, size=rows)
        if 0 < y[picks].sum() < rows:
            drawn.append(PEERS[metric](y[picks], s[picks]))
    return [(found.low, found.high), tuple(np.quantile(drawn, [0.025, 0.975]))]


def main(sets: int) -> None:
    """Print what is held, the width, and the interval score, for the kit and for the peer."""
    print(machine())
    with Pool(2) as pool:
        for metric in PEERS:
            for setting in SETTINGS:
                y, s = draw(200_000, 200_000 * setting[1] // setting[0], setting[2], 10**6)
                true = PEERS[metric](y, s)
                found = np.array(pool.map(partial(intervals, metric, *setting), range(sets)))
                low, high = found[..., 0], found[..., 1]
                missed = np.maximum(0, np.maximum(low - true, true - high))
                told = np.stack([(missed == 0).mean(0), (high - low).mean(0), (high - low + 40 * missed).mean(0)], 1)
                ours, theirs = ("held {:.1%} width {:.3f} score {:.3f}".format(*line) for line in told)
                print(f"{metric} {true:.3f}, {setting[1]} of {setting[0]}: {ours}   bootstrap: {theirs}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
