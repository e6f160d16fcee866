"""Time and memory: convex weights of 100 members x 50,000 rows x 10 classes, and a whole fit of 20 x 10,000 x 8.

    python benchmarks/blend_speed.py [repeats]

Targets: gap <= 1e-9 in <= 1 s and under 1 GB of memory in all; the whole fit, nested score and all, in <= 10 s.
On a busy machine the processor time of the process says more than the clock, so both are printed.
Peer in the same run, where it is installed: AutoGluon's EnsembleSelection. (hillclimbers would take minutes.)
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from blend_peers import AUTOGLUON, PEERS
from machine import machine
from numpy.typing import NDArray

from kit.judge import blend
from kit.judge.blend.convex import convex_weights, gather


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


def timed(work: Callable[[], Any], repeats: int) -> tuple[Any, str, float]:
    """Return the result, the times in words and the best time."""
    clock, processor, result = [], [], None
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        result = work()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    words = f"best {min(clock):.2f} s, median {np.median(clock):.2f} s, processor time {min(processor):.2f} s"
    return result, words, min(clock)


def main(repeats: int) -> None:
    """Print the times beside the targets."""
    print(machine())
    proba, y = members(100, 50_000, 10)
    before = peak()
    fitted, words, best = timed(lambda: convex_weights(gather(proba, y)), repeats)
    q = gather(proba, y)
    print(f"convex 100 x 50,000 x 10: {words} (target 1), gap {fitted.gap:.1e} (target 1e-9),")
    print(f"  log loss {-np.log(q @ fitted.weights).mean():.6f}, memory {peak():.2f} GB (target 1; data {before:.2f})")
    for name in {AUTOGLUON} & set(PEERS):
        weigh = PEERS[name]
        weights, words, taken = timed(partial(weigh, proba, y), 1)
        loss, gap = -np.log(q @ weights).mean(), max(((1 / (q @ weights)) @ q / len(q)).max() - 1, 0)
        print(f"  {name}: {words}, {taken / best:.0f} times as long, log loss {loss:.6f}, gap {gap:.1e}")
    proba, y = members(20, 10_000, 8)
    _, words, _ = timed(lambda: blend.fit(proba, y, np.arange(len(y)) % 5), repeats)
    print(f"whole fit 20 x 10,000 x 8: {words} (target 10)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
