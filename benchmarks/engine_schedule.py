"""Tasks on 1, 4, 16 and 64 places in the kit's order, from measured seconds: makespan against the lower bound.

    python benchmarks/engine_schedule.py [PROJECT ...]

The seconds are those of `TIMES`, measured by the kit on two cores, or of the logs of the projects that are named. 200
tasks are drawn from them, each with up to a tenth more or less. The bound is what no order can beat: the work in equal
parts, or the longest task where that is more. The kit starts the longest first (`kit.stages.train.plan.ordered`); the
peer is the order in which the configuration names the runs.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from machine import machine

from kit.store.files import read_log

TASKS, SEEDS, PLACES, ERROR = 200, 20, (1, 4, 16, 64), 0.3
# Seconds of a fold, MobileNetV2 and small networks on blood cells and practice pictures, on two cores.
TIMES = (
    441.1,
    548.3,
    456.3,
    443.3,
    557.1,
    484.9,
    372.9,
    361.1,
    274.0,
    198.9,
    338.5,
    44.6,
    59.8,
    43.9,
    22.6,
    19.4,
    22.1,
)


def logged(project: Path) -> list[float]:
    """Seconds of the folds of a project that were trained without an interruption."""
    logs = [line for path in project.glob("runs/*/fold-*/log.jsonl") for line in read_log(path)]
    return [line["seconds"] for line in logs if line["event"] == "done" and not line["resumed"]]


def makespan(seconds: Sequence[float], places: int) -> float:
    """When the last task ends, if each starts in this order as soon as one of the places is free."""
    free = [0.0] * places
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def spans(seconds: np.ndarray, places: int, rng: np.random.Generator) -> list[float]:
    """Makespans: longest first, longest first by estimates that are off, as the seconds come."""
    estimates = seconds * np.exp(rng.normal(0, ERROR, len(seconds)))
    orders = (np.argsort(-seconds, kind="stable"), np.argsort(-estimates, kind="stable"), np.arange(len(seconds)))
    return [makespan(seconds[order].tolist(), places) for order in orders]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("projects", type=Path, nargs="*")
    args = parser.parse_args()
    times = [one for project in args.projects for one in logged(project)] or list(TIMES)
    print(machine())
    print(
        f"{TASKS} tasks drawn from {len(times)} measured ones of {min(times):.0f} to {max(times):.0f} s, {SEEDS} draws"
    )
    print("places   longest first / bound   estimates 30 % off     as configured")
    for places in PLACES:
        ratios = []
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            seconds = rng.choice(times, TASKS) * rng.uniform(0.9, 1.1, TASKS)
            bound = max(seconds.sum() / places, seconds.max())
            ratios.append([span / bound for span in spans(seconds, places, rng)])
        pairs = [f"{column.mean():.3f}, worst {column.max():.3f}" for column in np.array(ratios).T]
        print(f"{places:6}   " + "   ".join(f"{pair:20}" for pair in pairs))


if __name__ == "__main__":
    main()
