"""Does the nested interval cover the score on fresh rows? 500 generated competitions.

    python benchmarks/blend_nested.py [competitions]

Each has a fresh test of 20 times its rows and at least 50 expected errors. Targets: coverage of the 95 % interval
91-97 % (log loss) and 92-97 % (accuracy); mean of (nested - fresh) / SE within .15 of zero; resubstitution is
optimistic. Peers in the same run: the score on the fitted rows with the same interval.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from multiprocessing import Pool

import numpy as np
from blend_libraries import KINDS, Library, generate
from machine import machine
from numpy.typing import NDArray

from kit.judge import blend, score

METRICS = ("nll", "accuracy")


def errors(library: Library, fresh: NDArray) -> float:
    """Return the expected errors among as many rows as were fitted on."""
    return (1 - score.score("accuracy", library.test_y, fresh)) * len(library.y)


def competition(seed: int) -> dict[str, tuple[float, ...]] | None:
    """Return per metric (nested, low, high, SE, fresh, resubstituted); None below 50 expected errors."""
    kind = KINDS[seed % 3]
    rows = (150, 1500)
    n = len(generate(kind, seed, rows=rows, fresh=1).y)
    library = generate(kind, seed, rows=rows, fresh=20 * n)
    if errors(library, library.test_proba.mean(axis=0)) < 50:
        return None
    fitted = blend.fit(library.proba, library.y, library.fold)
    inside, fresh = fitted.apply(library.proba), fitted.apply(library.test_proba)
    if errors(library, fresh) < 50:
        return None
    out = {}
    for metric in METRICS:
        nested = score.interval(metric, library.y, fitted.oof, seed=0)
        truth = score.score(metric, library.test_y, fresh)
        resubstituted = score.interval(metric, library.y, inside, seed=0)
        out[metric] = (*(nested.score, nested.low, nested.high, nested.se), truth)
        out[metric] += (resubstituted.score, resubstituted.low, resubstituted.high)
    return out


def main(wanted: int) -> None:
    """Run until so many competitions have enough errors; print coverage and bias after every hundred."""
    print(machine())
    found: list[dict[str, tuple[float, ...]]] = []
    with Pool(2) as pool:
        for result in pool.imap(competition, range(10 * wanted)):
            found += [] if result is None else [result]
            if result is not None and (len(found) % 100 == 0 or len(found) == wanted):
                report(found)
            if len(found) == wanted:
                pool.terminate()
                break


def report(found: list[dict[str, tuple[float, ...]]]) -> None:
    """Print coverage and bias."""
    for metric in METRICS:
        value, low, high, se, truth, inside, inside_low, inside_high = np.array([f[metric] for f in found]).T
        covered = np.mean((low <= truth) & (truth <= high))
        below, above = np.mean(truth < low), np.mean(truth > high)
        bias, resubstituted = (value - truth) / se, (inside - truth) / se
        covered_inside = np.mean((inside_low <= truth) & (truth <= inside_high))
        print(
            f"{metric:9s} {len(found)} competitions: coverage {covered:.1%} (fresh below {below:.1%}, above"
            f" {above:.1%}), (nested - fresh)/SE {bias.mean():+.3f}, sd {bias.std():.2f};"
            f" resubstitution {resubstituted.mean():+.3f}, coverage {covered_inside:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
