"""Progressive resizing of MobileNetV2 on blood cells: processor time of training, and accuracy out of fold.

    python benchmarks/sizes.py [--data DIR] [--rows 3000] [--epochs 6] [--folder DIR] [RUN ...]

DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``blood/train.csv`` and ``weights/``. Cells are stored with
96 px. The peer is ``whole``, a run whose stages all train at 96 px; ``growing`` trains the first half of its epochs at
64 px, and ``small`` trains and predicts at 64. Each is one `kit train` in two folds; seconds are of the processor, all
processes together. With ``--folder`` what was trained is kept, and its accuracy is told again without a time.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path

import numpy as np
from machine import machine
from train_features import accuracy, kit, make_project

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
    right: dict[str, np.ndarray] = {}
    for run in options.runs:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        trained = list((folder / "runs").glob(f"{run}-*/oof.npz"))
        kit(folder, "train", run)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        score, right[run] = accuracy(folder, run)
        line = f"{run}: accuracy {score:.4f} of {len(right[run])} cells" + ("" if trained else f", {seconds:.0f} s")
        if "whole" in right and run != "whole":
            apart = right[run].astype(float) - right["whole"]
            line += f", {apart.mean():+.4f} +- {apart.std() / len(apart) ** 0.5:.4f} against whole"
        print(line, flush=True)


if __name__ == "__main__":
    main()
