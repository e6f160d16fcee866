"""Processor time and memory of the whole cleaning plan on practice pictures of 32 px.

    python benchmarks/clean_scale.py --n 10000 20000 50000 100000

Each size runs in a process of its own on a memory-mapped file; peak memory includes the pages of that file. The peer
is what the search in cells replaces: comparing the eight symmetries of every picture with every other picture, in
blocks with NumPy (up to 20,000 pictures).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from kit.config.sections import CleanConfig
from kit.images.sources.practice import make
from kit.stages.clean.measured import measure
from kit.stages.clean.near import Cells, unit_vectors
from kit.stages.clean.plan import plan
from kit.stages.clean.thumbnails import FORMS, turned

EXHAUSTIVE = 20_000


def one(path: Path) -> None:
    """Plan once and print seconds per step and peak memory as JSON."""
    images, labels = np.load(path / "images.npy", mmap_mode="r"), np.load(path / "labels.npy")
    steps: list[tuple[str, float]] = []
    start = time.process_time()
    with threadpool_limits(1):  # threads that wait for a busy core would count
        result = plan(images, labels, CleanConfig(), on_step=lambda name: steps.append((name, time.process_time())))
    ends = [at for _, at in steps[1:]] + [time.process_time()]
    answer = {
        "seconds": ends[-1] - start,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "steps": {name: end - at for (name, at), end in zip(steps, ends, strict=True)},
        "dropped": Counter(finding.reason for finding in result.dropped),
    }
    print(json.dumps(answer))


def searches(images: np.ndarray) -> tuple[float, float]:
    """Seconds of the search in cells and of the exhaustive one, for the neighbours of all eight symmetries."""
    low = measure(images).low
    vectors = unit_vectors(low)
    reach = np.full(len(vectors), 0.1)
    start = time.process_time()
    cells = Cells(vectors)
    for form in range(len(FORMS)):
        cells.within(unit_vectors(turned(low, form)), reach)
    middle = time.process_time()
    for form in range(len(FORMS)):
        queries = unit_vectors(turned(low, form))
        for first in range(0, len(queries), 512):
            np.flatnonzero(queries[first : first + 512] @ vectors.T > 1 - reach[0] ** 2 / 2)
    return middle - start, time.process_time() - middle


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, nargs="+", default=[10_000, 20_000, 50_000, 100_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("pictures  seconds  peak GiB  near copies  search / exhaustive")
    for n in args.n:
        with tempfile.TemporaryDirectory() as folder:
            data = make(n=n, size=32, seed=0)
            np.save(Path(folder) / "images.npy", data.images)
            np.save(Path(folder) / "labels.npy", data.labels)
            command = [sys.executable, __file__, "--one", folder]
            answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            ratio = "-"
            if n <= EXHAUSTIVE:
                with threadpool_limits(1, user_api="blas"):
                    ours, theirs = searches(data.images)
                ratio = f"{ours:.1f} / {theirs:.1f} s = {ours / theirs:.2f}"
        near = answer["steps"]["near copies"]
        print(f"{n:8}  {answer['seconds']:7.1f}  {answer['peak']:8.2f}  {near:9.1f} s  {ratio}", flush=True)
    print({name: round(seconds, 1) for name, seconds in answer["steps"].items()}, answer["dropped"])


if __name__ == "__main__":
    main()
