"""Tasks on 1, 4, 16 and 64 places, longest first, from measured seconds: makespan against the lower bound.

    python benchmarks/engine_schedule.py [PROJECT ...]

The seconds are those of `TIMES`, measured by the kit on two cores, or of the logs of the projects that are named. 200
tasks are drawn from them, each with up to a tenth more or less. The bound is what no order can beat: the work in equal
parts, or the longest task where that is more. The sharper bound adds that of `k m + 1` tasks some place gets `k + 1`.
The peer is the order in which the configuration names the runs.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from machine import machine

from kit.files import read_log

TASKS, SEEDS, PLACES = 200, 20, (1, 4, 16, 64)
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
    """When the last task ends, if each starts in this order as soon as a place is free."""
    free = [0.0] * places
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def sharper_bound(seconds: np.ndarray, places: int) -> float:
    """A time that no schedule beats: the longest ``k places + 1`` tasks put ``k + 1`` of themselves on one place."""
    ordered = -np.sort(-seconds)
    crowded = [ordered[k * places - k : k * places + 1].sum() for k in range(1, (len(seconds) - 1) // places + 1)]
    return float(max(seconds.sum() / places, seconds.max(), *crowded))


def expected_order(seconds: np.ndarray, error: float, rng: np.random.Generator) -> np.ndarray:
    """Tasks longest first, by estimates that are off by a factor of ``exp(N(0, error))``."""
    return seconds[np.argsort(-seconds * np.exp(rng.normal(0, error, len(seconds))), kind="stable")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("projects", type=Path, nargs="*")
    args = parser.parse_args()
    times = [one for project in args.projects for one in logged(project)] or list(TIMES)
    print(machine())
    print(
        f"{TASKS} tasks drawn from {len(times)} measured ones of {min(times):.0f} to {max(times):.0f} s, {SEEDS} draws"
    )
    print("places   longest first / bound   / sharper bound   estimates 30 % off / bound   as configured / bound")
    for places in PLACES:
        ratios = []
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            seconds = rng.choice(times, TASKS) * rng.uniform(0.9, 1.1, TASKS)
            bound = max(seconds.sum() / places, seconds.max())
            orders = (-np.sort(-seconds), expected_order(seconds, 0.3, rng), seconds)
            spans = [makespan(order.tolist(), places) for order in orders]
            ratios.append(
                [spans[0] / bound, spans[0] / sharper_bound(seconds, places), *(s / bound for s in spans[1:])]
            )
        pairs = [f"{column.mean():.3f}, worst {column.max():.3f}" for column in np.array(ratios).T]
        print(f"{places:6}   " + "   ".join(f"{pair:20}" for pair in pairs))


if __name__ == "__main__":
    main()
