"""Every interval of every metric at 1,000 classes and 20,000 rows: processor time and memory, a process for each.

The peer is the bootstrap that visits the rows again: 2,000 times the time of one score. The peak of the memory is that
of the whole process, predictions (80 MB, single precision) and libraries included.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np

from kit.judge import score
from kit.judge.score import METRICS, RESAMPLES

ROWS, CLASSES = 20_000, 1_000


def data(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions of a task."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (ROWS, CLASSES)).astype(np.float32)
    if task == "numbers":
        return logits[:, 0].astype(float), logits[:, 0] + rng.normal(0, 1, ROWS)
    if task == "multilabel":
        np.exp(-(logits - 4), out=logits)
        logits += 1
        np.reciprocal(logits, out=logits)
        return (rng.random((ROWS, CLASSES), np.float32) < logits).astype(np.int8), logits
    y = rng.integers(CLASSES, size=ROWS)
    logits[np.arange(ROWS), y] += 5
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return y, logits


def measure(name: str, task: str) -> None:
    """Print one line of the table."""
    y, said = data(task)
    before = time.process_time()
    score.score(name, y, said)
    once = time.process_time() - before
    before = time.process_time()
    found = score.interval(name, y, said, seed=0)
    spent = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    again = RESAMPLES * once / spent
    print(
        f"| {name} | {task} | {found.score:.4f} ({found.se:.4f}) | {spent:.1f} | {peak:.2f} | {again:.0f} |", flush=True
    )


def main() -> None:
    """Print the table, of all metrics and tasks or of those that are named."""
    tasks = ("classes", "numbers", "multilabel")
    named = [name for name in sys.argv[1:] if name not in tasks] or METRICS
    print("| metric | task | score (standard error) | seconds | GB | rows drawn again |\n|---|---|---|---|---|---|")
    for task in [task for task in tasks if task in sys.argv[1:]] or tasks:
        for name in named:
            if task in METRICS[name].measure.tasks:
                subprocess.run([sys.executable, __file__, "--one", name, task], check=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(*sys.argv[2:])
    else:
        main()
