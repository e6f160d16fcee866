"""How long `kit lb` takes on a season's ledger: 10,000 events and a board of 5,000 lines.

``python benchmarks/lb_scale.py [--events 10000] [--rows 5000] [--repeat 5]``: the command as a user starts it, process
start included, without a connection; beside it ``kit --version``, the same process without the work, and reading the
same files with nothing but ``json.loads``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from machine import machine

PER_CANDIDATE = 6


def make(root: Path, events: int, rows: int) -> None:
    """A project whose candidates were all submitted and scored."""
    root.mkdir()
    (root / "kit.toml").write_text(
        '[competition]\nplatform = "kaggle"\nid = "cells"\ntest_size = 4000\n[data]\ntrain = "raw.npz"\n'
    )
    target = {"platform": "kaggle", "url": "", "competition": "cells", "phase": ""}
    start = datetime(2026, 9, 1, tzinfo=UTC)
    for number in range(events // PER_CANDIDATE):
        when = start + timedelta(hours=number)
        folder = root / "submissions" / f"{when:%Y%m%dT%H%M%SZ}-{number:08x}"
        (folder / "events").mkdir(parents=True)
        cv = 0.8 + 0.1 * number * PER_CANDIDATE / events
        record = {"key": str(number), "cv": {"score": cv, "low": cv - 0.01, "high": cv + 0.01}, "rows": 8000}
        (folder / "ensemble.json").write_text(json.dumps(record))
        intent = {"tag": f"kit-{number:08x}", "sha256": f"{number:064x}", "target": target, "commit": "0123456789"}
        facts = [("intent", intent), ("upload", {}), ("uploaded", {"key": "k"}), ("request", {})]
        facts += [("answer", {"remote": str(number)}), ("score", {"score": cv - 0.02, "private": cv - 0.03})]
        for place, (kind, more) in enumerate(facts):
            time_ = when + timedelta(seconds=place)
            event = {"kind": kind, "time": time_.isoformat(), "who": "ada", "intent": f"{number:016x}", **more}
            name = f"{time_:%Y%m%dT%H%M%S%fZ}-{place:08x}.json"
            (folder / "events" / name).write_text(json.dumps(event, indent=2, sort_keys=True))
        os.utime(folder / "events", (when.timestamp(), when.timestamp()))
    boards = root / "submissions" / "leaderboard"
    boards.mkdir()
    lines = [f"{rank},team {rank},{1 - rank / 10000:.5f},{int(rank == rows // 2)}," for rank in range(1, rows + 1)]
    (boards / "20261001T000000000000Z-00000000.csv").write_text("\n".join(["rank,name,score,mine,remote", *lines, ""]))
    mine = [{"rank": rows // 2, "name": f"team {rows // 2}", "score": 1 - rows / 20000, "remote": ""}]
    summary = {"time": start.isoformat(), "target": target, "lines": rows, "best": 0.99, "mine": mine}
    summary["table"] = "20261001T000000000000Z-00000000.csv"
    (boards / "20261001T000000000000Z-00000000.json").write_text(json.dumps(summary))


def seconds(work: Callable[[], object], repeat: int) -> tuple[float, float, float]:
    """Median and least of several runs, and the median of the processor's time, which other work disturbs less."""
    taken, processor = [], []
    for _ in range(repeat):
        started, before = time.perf_counter(), os.times()
        work()
        taken.append(time.perf_counter() - started)
        processor.append(sum(os.times()[:4]) - sum(before[:4]))
    return statistics.median(taken), min(taken), statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "project"
        make(root, options.events, options.rows)
        environment = {**os.environ, "HOME": name, "COLUMNS": "80"}
        environment.pop("KAGGLE_API_TOKEN", None)

        def kit(*arguments: str) -> None:
            command = [sys.executable, "-m", "kit", *arguments]
            subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)

        def read() -> int:
            return len([json.loads(path.read_bytes()) for path in root.rglob("*.json")])

        first, _, _ = seconds(lambda: kit("lb"), 1)
        print(f"the first kit lb, which caches the ledger: {first:.2f} s")
        medians = []
        for label, work in [
            (f"kit lb, {options.events} events, {options.rows} lines", lambda: kit("lb")),
            ("kit --version", lambda: kit("--version")),
            ("json.loads of every file", read),
        ]:
            median, least, processor = seconds(work, options.repeat)
            medians.append(median)
            print(f"{label}: median {median:.2f} s, least {least:.2f} s, processor {processor:.2f} s")
        print(f"kit lb takes {medians[0] / medians[2]:.1f} times as long as json.loads alone")


if __name__ == "__main__":
    main()
