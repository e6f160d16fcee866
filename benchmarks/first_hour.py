"""Nine sets of images from ``kit init`` to a score, with no file edited by hand.

    python benchmarks/first_hour.py OUT --sets DIR --blood DIR [--only NAME ...] [--hours 1] [--rows N]

OUT gets a folder per set; a set whose line stands in ``OUT/results.csv`` is not run again, and one that was interrupted
goes on from its last checkpoint. ``--sets`` holds ``mnist.npz``, ``fashion.npz`` and ``cifar10.npz`` with the keys of
Keras; ``--blood`` holds ``train.zip``, ``train.csv``, ``dev_test.zip`` and ``dev_test.csv``. ``--rows`` makes small
draws of the sets. The commands are the real ones: ``kit init``, then ``kit ensemble --all``, and ``kit submit`` where
there are hidden labels.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kit.images.sources.practice import make
from kit.project import Project

KIT = [sys.executable, "-m", "kit"]
HEADER = ("set", "images", "init s", "whole s", "out of fold", "hidden", "runs", "augment")


class Given(NamedTuple):
    """Where raw data come from, and how many rows of each part at most."""

    sets: Path
    blood: Path
    rows: int


def arrays(name: str) -> Callable[[Path, Given], str]:
    def write(root: Path, given: Given) -> str:
        with np.load(given.sets / f"{name}.npz") as found:
            np.savez(root / f"{name}.npz", **{key: found[key][: given.rows] for key in found.files})
        return f"{name}.npz"

    return write


def practice_folders(root: Path, given: Given) -> str:
    made = make(n=min(1600, given.rows), size=64, seed=0)
    for part, images, labels in (("train", made.images, made.labels), ("test", made.test_images, made.test_labels)):
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            save(root / f"raw/{part}/{made.classes[label]}/{row:05d}.png", image)
    return "raw/train"


def blood_rows(given: Given, stem: str) -> tuple[list[dict[str, str]], zipfile.ZipFile]:
    with (given.blood / f"{stem}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = np.random.default_rng(0).permutation(len(rows))[: given.rows]
    return [rows[row] for row in sorted(chosen)], zipfile.ZipFile(given.blood / f"{stem}.zip")


def blood_arrays(root: Path, given: Given) -> str:
    for stem, target in (("train", "training_set"), ("dev_test", "test")):
        rows, archive = blood_rows(given, stem)
        images = []
        for row in rows:
            with archive.open(row["file"]) as file, Image.open(file) as image:
                images.append(np.asarray(image.convert("RGB")))
        np.savez(
            root / f"{target}.npz", images=np.stack(images), labels=np.array([[int(row["label"])] for row in rows])
        )
    return "training_set.npz"


def blood_table(root: Path, given: Given) -> str:
    for stem, target in (("train", "train"), ("dev_test", "test")):
        rows, archive = blood_rows(given, stem)
        archive.extractall(root, [row["file"] for row in rows])
        table(root / f"{target}.csv", [["file", "label"], *([row["file"], row["label"]] for row in rows)])
    return "train.csv"


def kaggle(root: Path, given: Given) -> str:
    made = make(n=min(1600, given.rows), size=64, seed=1)
    for part, images in (("train", made.images), ("test", made.test_images)):
        for row, image in enumerate(images):
            save(root / f"raw/{part}/{part}_{row:05d}.png", image)
    lines = [[f"train_{row:05d}", made.classes[label]] for row, label in enumerate(made.labels)]
    table(root / "raw/train.csv", [["image_id", "label"], *lines])
    answers = [[f"test_{row:05d}", made.classes[0]] for row in range(len(made.test_images))]
    table(root / "raw/sample_submission.csv", [["image_id", "label"], *answers])
    return "raw/train.csv"


def photographs(root: Path, given: Given) -> str:
    """Practice cells on backgrounds of several proportions, as JPEG files of up to 640 pixels."""
    made, rng = make(n=min(600, given.rows), size=256, seed=2), np.random.default_rng(0)
    for row, (image, label) in enumerate(zip(made.images, made.labels, strict=True)):
        height, width = ((480, 640), (640, 480), (512, 512), (360, 640))[row % 4]
        canvas = Image.fromarray(rng.integers(180, 220, (height, width, 3), np.uint8))
        canvas.paste(Image.fromarray(image), (int(rng.integers(0, width - 256)), int(rng.integers(0, height - 256))))
        path = root / f"photos/{made.classes[label]}/{row:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.save(path, quality=90)
    return "photos"


SETS: dict[str, Callable[[Path, Given], str]] = {
    "digits": lambda root, given: "digits",
    "mnist": arrays("mnist"),
    "fashion": arrays("fashion"),
    "cifar10": arrays("cifar10"),
    "practice-folders": practice_folders,
    "blood-npz": blood_arrays,
    "blood-csv": blood_table,
    "kaggle": kaggle,
    "photographs": photographs,
}


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def table(path: Path, lines: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def kit(root: Path, *arguments: str) -> str:
    done = subprocess.run([*KIT, *arguments], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{root.name}: kit {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def run(root: Path, name: str, given: Given, hours: float) -> list[object]:
    started = time.monotonic()
    if not (root / "kit.toml").exists():
        root.mkdir(parents=True, exist_ok=True)
        spec = SETS[name](root, given)
        started = time.monotonic()
        kit(root, "init", "--train", spec, "--hours", str(hours))
    looked = time.monotonic() - started
    kit(root, "ensemble", "--all")
    config = Project(root).config
    hidden = ""
    if config.data.truth:
        hidden = f"{json.loads(kit(root, 'submit', '--yes', '--json'))['score']:.4f}"
    elif config.data.test:
        kit(root, "table")
    blend = json.loads(max(root.glob("submissions/*/ensemble.json")).read_text())
    first = next(iter(config.runs.values()))
    steps = " ".join(step.op + (f" {step.options}" if step.options else "") for step in first.augment) or "none"
    images = json.loads((root / "data/manifest.json").read_text())["raw"]
    whole = time.monotonic() - started
    return [
        name,
        images,
        f"{looked:.0f}",
        f"{whole:.0f}",
        f"{blend['cv']['score']:.4f}",
        hidden,
        " ".join(config.runs),
        steps,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", type=Path, default=Path("sets"))
    parser.add_argument("--blood", type=Path, default=Path("blood"))
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=10**9)
    options = parser.parse_args()
    results = options.out / "results.csv"
    options.out.mkdir(parents=True, exist_ok=True)
    if not results.exists():
        table(results, [list(HEADER)])
    for name in options.only:
        with results.open(newline="") as file:
            if any(line["set"] == name for line in csv.DictReader(file)):
                continue
        line = run(options.out / name, name, Given(options.sets, options.blood, options.rows), options.hours)
        with results.open("a", newline="") as file:
            csv.writer(file).writerow(line)
    print(results.read_text(), end="")


if __name__ == "__main__":
    main()
