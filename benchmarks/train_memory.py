"""Peak memory of training on 100,000 images of 64 px.

    python benchmarks/train_memory.py [--n 100000] [--size 64]

`kit train` of a small network for one epoch on two folds: every image is read, stepped on in one fold and judged and
predicted in the other. Memory is that of the command and its processes together, asked five times a second: resident
(pages of the memory-mapped images included, counted in each process that touches them) and proportional (each page
once). The peer is what the images alone take as float32, which is how a script that loads them would begin.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine

CONFIG = """
[data]
train = "train.npz"
[clean]
near = "off"
quality = false
[folds]
n = 2
[runs.tiny]
backbone = "two-conv-cnn"
views = ["identity"]
batch_size = 256
augment = [{ op = "dihedral" }]
stages = [{ train = "all", epochs = 1 }]
"""


def write_images(path: Path, n: int, size: int) -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 8).astype(np.int64)
    images = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    np.savez(path, images=images, labels=labels)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []  # it has just ended
    return [pid, *(member for children in lists for child in children for member in family(int(child)))]


def kilobytes(pid: int, name: str, file: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def watched(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of a command, and gigabytes at most: resident and proportional, of all of its processes together."""
    started = time.perf_counter()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        resident = proportional = 0
        while process.poll() is None:
            members = family(process.pid)
            resident = max(resident, sum(kilobytes(pid, "VmRSS:", "status") for pid in members))
            proportional = max(proportional, sum(kilobytes(pid, "Pss:", "smaps_rollup") for pid in members))
            time.sleep(0.2)
    if process.returncode != 0:
        sys.exit((folder / "said.txt").read_text())
    return time.perf_counter() - started, resident / 2**20, proportional / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "kit.toml").write_text(CONFIG)
        write_images(folder / "train.npz", options.n, options.size)
        whole = options.n * options.size**2 * 3
        print(f"{options.n} images of {options.size} px: {whole / 2**30:.2f} GB, as float32 {whole / 2**28:.2f} GB")
        for command in ("folds", "train"):
            seconds, resident, proportional = watched([sys.executable, "-m", "kit", command], folder)
            print(
                f"kit {command}: {seconds:.0f} s, {resident:.2f} GB resident, {proportional:.2f} GB proportional",
                flush=True,
            )


if __name__ == "__main__":
    main()
