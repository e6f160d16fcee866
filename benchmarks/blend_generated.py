"""Regret of the blend on generated libraries, a third each: labels from the mean, a convex pool, Gaussian logits.

    python benchmarks/blend_generated.py [libraries]

Regret is the relative excess of the log loss on 20,000 fresh rows over that of the candidate that turned out best.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from multiprocessing import Pool

import numpy as np
from blend_libraries import KINDS, generate
from machine import machine

from kit.judge import blend
from kit.judge.blend.candidates import candidates, may_be_joint
from kit.judge.blend.rows import Rows
from kit.judge.metrics import row_nll
from kit.runtime.pool import apply_part, log_proba


def library(seed: int) -> tuple[str, int, float, float, float, float]:
    """Return kind, rows, log loss of blend, plain mean and best candidate in hindsight, noise of a mean row loss."""
    kind = KINDS[seed % 3]
    drawn = generate(kind, seed)
    fitted = blend.fit(drawn.proba, drawn.y, drawn.fold)
    logs, (members, count, classes) = log_proba(drawn.test_proba), drawn.proba.shape
    rows = Rows(log_proba(drawn.proba), drawn.y, joint=may_be_joint(members, classes, count))
    losses = {
        name: row_nll(drawn.test_y, apply_part(candidate.fit(rows).part, drawn.test_proba, logs))
        for name, candidate in candidates(members, classes).items()
    }
    own = float(row_nll(drawn.test_y, fitted.apply(drawn.test_proba)).mean())
    noise = float(losses["mean"].std() / np.sqrt(len(drawn.y)))
    best = min(float(loss.mean()) for loss in losses.values())
    return kind, len(drawn.y), own, float(losses["mean"].mean()), best, noise


def main(libraries: int) -> None:
    """Print the table of regrets beside the targets."""
    print(machine())
    with Pool(2) as pool:
        results = pool.map(library, range(libraries), chunksize=1)
    kind = np.array([r[0] for r in results])
    rows, own, mean, best, noise = np.array([r[1:] for r in results]).T
    regret, large = 100 * (own / best - 1), rows >= 1000
    for name in KINDS:
        here = kind == name
        print(
            f"{name:9s} {here.sum():3d} libraries: mean regret {regret[here & large].mean():.2f} % from 1,000 rows"
            f" (target .5), {regret[here].mean():.2f} % over all{' (target 1.5)' * (name != 'gaussian')},"
            f" median {np.median(regret[here & ~large]):.2f} % below 1,000{' (target 3)' * (name == 'gaussian')}"
        )
    excess = (own - mean) / noise
    print(
        f"against the plain mean, in units of sd(row loss)/sqrt(n): worse by over .5 in {np.mean(excess > 0.5):.1%}"
        f" (target 1 %), by over 1 in {np.sum(excess > 1)} (target 0), worst {excess.max():.2f};"
        f" first third at worst {100 * (own / mean - 1)[kind == 'mean'].max():+.2f} % (target 5)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 240)
