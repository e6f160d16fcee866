"""Progressive resizing of MobileNetV2 on blood cells: processor time of training, and accuracy out of fold.

    python benchmarks/sizes.py [--data DIR] [--rows 3000] [--epochs 6] [--folder DIR] [RUN ...]

DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``blood/train.csv`` and ``weights/``. Cells are stored with
96 px. The peer is ``whole``, a run whose stages all train at 96 px; ``growing`` trains the first half of its epochs at
64 px, and ``small`` trains and predicts at 64. Each is one `kit train` in two folds, all of them at the same time;
seconds are of the processor. With ``--folder`` what was trained is kept, and its accuracy is told again without a time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from machine import machine
from train_features import accuracy, make_project

CONFIG = """
[data]
train = "train.csv"
image_size = 96
[folds]
n = 2
[train]
workers = 1
[runs.whole]
backbone = "mobilenetv2"
weights = "{weights}"
augment = [{{ op = "dihedral" }}]
views = ["identity"]
stages = [
  {{ train = "head", epochs = 2 }},
  {{ train = "all", epochs = {epochs}, lr = 3e-4, schedule = {{ warmup = 0.5 }} }},
]
[runs.growing]
extends = "whole"
stages = [
  {{ train = "head", epochs = 2, size = 64 }},
  {{ train = "all", epochs = {half}, size = 64, lr = 3e-4, schedule = {{ kind = "constant", warmup = 0.5 }} }},
  {{ train = "all", epochs = {half}, size = 96, lr = 3e-4, schedule = {{ warmup = 0.5 }} }},
]
[runs.small]
extends = "whole"
size = 64
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", default=["whole", "growing", "small"])
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED"))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(machine(), flush=True)
    folder = (options.folder or Path(tempfile.mkdtemp())) / "cells"
    if not folder.exists():
        config = CONFIG.replace("{half}", str(options.epochs // 2))
        make_project(folder, options.data, options.rows, options.epochs, config)
    new = [run for run in options.runs if not list((folder / "runs").glob(f"{run}-*/oof.npz"))]
    seconds = processor_seconds(folder, new)
    right: dict[str, np.ndarray] = {}
    for run in options.runs:
        score, right[run] = accuracy(folder, run)
        line = f"{run}: accuracy {score:.4f} of {len(right[run])} cells"
        line += f", {seconds[run]:.0f} s" if run in seconds else ""
        if "whole" in right and run != "whole":
            apart = right[run].astype(float) - right["whole"]
            line += f", {apart.mean():+.4f} +- {apart.std() / len(apart) ** 0.5:.4f} against whole"
        print(line)


def processor_seconds(folder: Path, runs: list[str]) -> dict[str, float]:
    """Train all runs at once, so that they share whatever else the machine does."""
    commands = {run: [sys.executable, "-m", "kit", "train", run] for run in runs}
    started = {
        run: subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) for run, command in commands.items()
    }
    found = {}
    for run, process in started.items():
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{run} failed")
        found[run] = used.ru_utime + used.ru_stime
    return found


if __name__ == "__main__":
    main()
