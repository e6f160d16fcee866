"""Time and memory of a whole fit, nested score and all, of large sets of invented predictions (float32).

    python benchmarks/blend_size.py [metric] [sets, such as 10x20000x1000]

Each set is made and fitted in a process of its own, whose peak of memory includes the predictions; the processor time
is that of the fit. Targets: 10 x 20,000 x 1,000 in 2 minutes and 4 GB, 10 x 500,000 x 5 in 1 minute and 2 GB,
100 x 50,000 x 10 in 1 minute and 3 GB. Peer in the same run: the greedy selection of AutoGluon's EnsembleSelection
(Caruana et al. 2004; 25 rounds on the log loss), which gives weights, but no score of new rows. ``moved`` are log loss
and accuracy of the blend on as many fresh rows, less those of the plain mean.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from blend_speed import members, peak
from machine import machine
from numpy.typing import NDArray

from kit.judge import blend, score

TARGETS = {"10x20000x1000": (120, 4), "10x500000x5": (60, 2), "100x50000x10": (60, 3)}
METHODS = ("kit", "greedy selection")
FRESH = 5_000


def kit(proba: NDArray, y: NDArray, metric: str) -> tuple[Callable[[NDArray], NDArray], str]:
    """Return what predicts fresh rows, and the score that is said to be expected of it."""
    fitted = blend.fit(proba, y, np.arange(len(y)) % 5, metric=metric)
    return (
        fitted.apply,
        f"{fitted.method}; said {fitted.nested.score:.5f}, gap {fitted.gap:.0e}, bound {fitted.bound:.0e}",
    )


def greedy(proba: NDArray, y: NDArray, metric: str) -> tuple[Callable[[NDArray], NDArray], str]:
    """As `kit`, of the selection as AutoGluon does it: the metric of whole predictions, for each member and round."""
    chosen: list[int] = []
    total = np.zeros(proba.shape[1:], proba.dtype)
    for size in range(1, 26):
        losses = [score.score("nll", y, (total + member) / size) for member in proba]
        chosen.append(int(np.argmin(losses)))
        total += proba[chosen[-1]]
    weights = np.bincount(chosen, minlength=len(proba)) / len(chosen)
    return lambda other: np.tensordot(weights, other, 1), f"{np.count_nonzero(weights)} members"


def child(method: str, shape: str, metric: str) -> None:
    """Fit one method on one set in this process."""
    count, rows, classes = map(int, shape.split("x"))
    proba, y = members(count, rows + FRESH, classes)
    (fresh, labels), proba, y = (proba[:, rows:].copy(), y[rows:]), proba[:, :rows], y[:rows]
    start, used = time.perf_counter(), time.process_time()
    predict, words = (kit if method == "kit" else greedy)(proba, y, metric)
    clock, processor = time.perf_counter() - start, time.process_time() - used
    target = "  (targets {} s, {} GB)".format(*TARGETS[shape]) if method == "kit" and shape in TARGETS else ""
    print(f"{shape:14s} {method:17s} {clock:6.1f} s, processor {processor:6.1f} s, peak {peak():.2f} GB{target}")
    blended, mean = predict(fresh), fresh.mean(axis=0)
    moved = [score.score(name, labels, blended) - score.score(name, labels, mean) for name in ("nll", "accuracy")]
    print(f"  {words}; moved {moved[0]:+.5f} nats, accuracy {moved[1]:+.2%}", flush=True)


def main(metric: str, shapes: list[str]) -> None:
    """Start a process per set and method."""
    print(machine(), flush=True)
    for shape in shapes:
        for method in METHODS:
            subprocess.run([sys.executable, __file__, "child", method, shape, metric], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "nll", sys.argv[2:] or list(TARGETS))
