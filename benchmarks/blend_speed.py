"""Time and memory: convex weights of 100 members x 50,000 rows x 10 classes, and a whole fit of 20 x 10,000 x 8.

    python benchmarks/blend_speed.py [repeats]

Targets: gap <= 1e-9 in <= 1 s and under 1 GB of memory in all; the whole fit, selection and nested score included, in <= 10 s.
Peers in the same run, where they are installed: AutoGluon's EnsembleSelection and hillclimbers.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from blend_peers import PEERS
from machine import machine
from numpy.typing import NDArray

from kit import blend
from kit.blend.convex import convex_weights, duality_gap, gather


def members(count: int, rows: int, classes: int) -> tuple[NDArray, NDArray]:
    """Return (M, N, C) float32 probabilities with common and own noise, one member at a time, and labels."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=rows)
    common = (2.0 * np.eye(classes)[y] + rng.normal(size=(rows, classes))).astype(np.float32)
    proba = np.empty((count, rows, classes), dtype=np.float32)
    for m in range(count):
        z = common + np.float32(rng.uniform(0.3, 1.5)) * rng.standard_normal(common.shape, dtype=np.float32)
        np.exp(z - z.max(axis=1, keepdims=True), out=proba[m])
        proba[m] /= proba[m].sum(axis=1, keepdims=True)
    return proba, y


def peak() -> float:
    """Return the largest resident size of this process so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main(repeats: int) -> None:
    """Print times, the best and the median of the repeats, beside the targets."""
    print(machine())
    proba, y = members(100, 50_000, 10)
    before, times = peak(), []
    for _ in range(repeats):
        start = time.perf_counter()
        fitted = convex_weights(gather(proba, y))
        times.append(time.perf_counter() - start)
    loss = -np.log(gather(proba, y) @ fitted.weights).mean()
    print(
        f"convex 100 x 50,000 x 10: best {min(times):.2f} s, median {np.median(times):.2f} s (target 1), gap"
        f" {fitted.gap:.1e} (target 1e-9), log loss {loss:.6f}, memory {peak():.2f} GB (target 1; data {before:.2f})"
    )
    for name, weigh in PEERS.items():
        start = time.perf_counter()
        weights = weigh(proba, y)
        taken = time.perf_counter() - start
        q = gather(proba, y)
        print(
            f"  {name}: {taken:.1f} s, {taken / min(times):.0f} times as long, log loss {-np.log(q @ weights).mean():.6f},"
            f" gap {duality_gap(q, weights):.1e}"
        )
    proba, y = members(20, 10_000, 8)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        blend.fit(proba, y, np.arange(len(y)) % 5)
        times.append(time.perf_counter() - start)
    print(f"whole fit 20 x 10,000 x 8: best {min(times):.1f} s, median {np.median(times):.1f} s (target 10)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
