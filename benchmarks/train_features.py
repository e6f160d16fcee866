"""Five-fold head training of MobileNetV2 on blood cells, through cached features and without: seconds and accuracy.

    python benchmarks/train_features.py [--data DIR] [--rows 2000] [--epochs 10] [--whole-uncached]

DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``blood/train.csv`` and ``weights/``. The peer is the same
command with ``cached_views = 0``: every epoch goes through the frozen backbone again. Both sides are `kit train`,
start of the processes, judging, features and predictions included.

Without the cache the whole takes most of an hour on two cores. Unless ``--whole-uncached`` is given, both sides are
run to the end on ``--rows`` cells, whose out-of-fold accuracy is compared; on all cells the cached side is run to the
end and the other one for one fold with one epoch and with two: the difference is an epoch, and the rest is scaled.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from machine import machine

from kit.store.data import load_index
from kit.store.files import read_csv
from kit.store.layout import Layout
from kit.store.predictions import load_predictions

CONFIG = """
[data]
train = "train.csv"
image_size = 96
[folds]
n = 5
[runs.cached]
backbone = "mobilenetv2"
weights = "{weights}"
views = ["identity"]
stages = [{{ train = "head", epochs = {epochs}, cached_views = 1 }}]
[runs.uncached]
extends = "cached"
stages = [{{ train = "head", epochs = {epochs}, cached_views = 0 }}]
[runs.one]
extends = "cached"
stages = [{{ train = "head", epochs = 1, schedule = "constant", cached_views = 0 }}]
[runs.two]
extends = "cached"
stages = [{{ train = "head", epochs = 2, schedule = "constant", cached_views = 0 }}]
"""


def make_project(folder: Path, data: Path, rows: int, epochs: int, config: str = CONFIG) -> Path:
    """A project of every k-th cell, cleaned and split."""
    folder.mkdir()
    lines = [line for line in read_csv(data / "blood" / "train.csv") if Path(line["file"]).name < "12500.jpg"]
    chosen = lines[:: max(1, len(lines) // rows)] if rows else lines
    with zipfile.ZipFile(data / "blood" / "train.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for line in chosen:
            path = folder / line["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(archive.read(names[path.name]))
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["file", "label"], *([line["file"], line["label"]] for line in chosen)])
    weights = data / "weights" / "mobilenetv2_imagenet_notop.weights.h5"
    (folder / "kit.toml").write_text(config.format(weights=weights, epochs=epochs))
    kit(folder, "folds")
    return folder


def kit(folder: Path, *arguments: str) -> float:
    """Seconds of a command."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "kit", *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.perf_counter() - started


def accuracy(folder: Path, run: str) -> tuple[float, np.ndarray]:
    """Out-of-fold accuracy of a run, and which rows are right."""
    (path,) = (folder / "runs").glob(f"{run}-*/oof.npz")
    oof, index = load_predictions(path), load_index(Layout(folder))
    labels = dict(zip(index.ids, index.labels.tolist(), strict=True))
    right = oof.logits[0].argmax(axis=1) == np.array([labels[name] for name in oof.ids.tolist()])
    return float(right.mean()), right


def compare(folder: Path, what: str) -> None:
    """Both sides to the end."""
    cached, uncached = kit(folder, "train", "cached"), kit(folder, "train", "uncached")
    (a, right), (b, other) = accuracy(folder, "cached"), accuracy(folder, "uncached")
    print(
        f"{what}: {len(right)} cells; cached {cached:.0f} s, without {uncached:.0f} s, ratio {uncached / cached:.1f}; "
        f"accuracy out of fold {a:.4f} cached, {b:.4f} without, {(right != other).sum()} rows differ",
        flush=True,
    )


def scaled(folder: Path, epochs: int) -> None:
    """The cached side to the end, the other from one fold of one and of two epochs."""
    cached = kit(folder, "train", "cached")
    a, right = accuracy(folder, "cached")
    one, two = (kit(folder, "train", run, "--fold", "0") for run in ("one", "two"))
    uncached = 5 * (one + (epochs - 1) * (two - one))
    print(
        f"all cells: {len(right)}; cached {cached:.0f} s, accuracy {a:.4f}; without: a fold of one epoch {one:.0f} s, "
        f"of two {two:.0f} s, so five folds of {epochs} epochs {uncached:.0f} s; "
        f"ratio {uncached / cached:.1f} (scaled)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--whole-uncached", action="store_true")
    options = parser.parse_args()
    if options.data is None or not (Path(options.data) / "blood" / "train.zip").exists():
        sys.exit("no blood cells: --data DIR or KIT_SHARED")
    data = Path(options.data).resolve()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        if options.whole_uncached:
            compare(make_project(Path(scratch, "all"), data, 0, options.epochs), "all cells")
            return
        compare(
            make_project(Path(scratch, "some"), data, options.rows, options.epochs), "a part, complete on both sides"
        )
        scaled(make_project(Path(scratch, "all"), data, 0, options.epochs), options.epochs)


if __name__ == "__main__":
    main()
