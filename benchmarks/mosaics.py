"""Several labels end to end: mosaics of two or three blood cells, the blend's thresholds against a network's at .5.

    python benchmarks/mosaics.py $KIT_SHARED/blood [mosaics] [epochs] [folder]        (goes on where it was stopped)

A mosaic has 2 x 2 places of 48 pixels, of which two or three hold a cell each; every cell is used once, and the labels
are the classes of the cells. The peer is the same network, of which each label with a probability of more than .5
holds. All figures are out of fold with their 95 % intervals; thresholds are decided on the other folds.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine
from PIL import Image

from kit.judge import decide, score
from kit.project import Project
from kit.runtime.decide import decide as answer
from kit.store.data import load_index
from kit.store.partition import load_folds
from kit.store.predictions import load_predictions

SIDE, EMPTY = 48, (228, 215, 207)  # of a place in pixels; the colour between the cells
CONFIG = """
[competition]
task = "multilabel"
metric = "auc"
[data]
train = "train.csv"
images = "train"
[folds]
n = 3
[runs.net]
backbone = "residual-cnn"
stages = [{{ train = "all", epochs = {epochs}, lr = 2e-3 }}]
augment = [{{ op = "dihedral" }}]
batch_size = 64
views = ["identity", "flip-lr"]
[stress]
families = ["noise"]
rows = 100
[ensemble]
fit_on = "clean"
"""


def write(source: Path, out: Path, mosaics: int, epochs: int) -> None:
    """The project in ``out``, of the cells in ``source``; without planted copies, which stand last in the table."""
    names = (source / "classes.txt").read_text().split()
    with (source / "truth.csv").open(newline="") as opened:
        planted = {row["file"] for row in csv.DictReader(opened)}
    with (source / "train.csv").open(newline="") as opened:
        cells = [row for row in csv.DictReader(opened) if row["file"] not in planted]
    rng = np.random.default_rng(0)
    order = iter(rng.permutation(len(cells)).tolist())
    (out / "train").mkdir(parents=True)
    lines = []
    with zipfile.ZipFile(source / "train.zip") as archive:
        for number in range(mosaics):
            mosaic, labels = Image.new("RGB", (2 * SIDE, 2 * SIDE), EMPTY), set()
            for place in rng.permutation(4)[: rng.integers(2, 4)].tolist():
                cell = cells[next(order)]
                picture = Image.open(io.BytesIO(archive.read(cell["file"]))).resize((SIDE, SIDE))
                mosaic.paste(picture, (place % 2 * SIDE, place // 2 * SIDE))
                labels.add(names[int(cell["label"])])
            mosaic.save(out / "train" / f"{number:05d}.png")
            lines.append([f"{number:05d}", " ".join(sorted(labels))])
    with (out / "train.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["id", "labels"], *lines])
    (out / "kit.toml").write_text(CONFIG.format(epochs=epochs))


def told(metric: str, y: np.ndarray, said: np.ndarray) -> str:
    """A score with its interval."""
    found = score.interval(metric, y, said, seed=0)
    return f"{found.score:.4f} ({found.low:.4f} - {found.high:.4f})"


def main(source: Path, mosaics: int, epochs: int, out: Path) -> None:
    """Print the table."""
    print(machine())
    if not out.exists():
        write(source, out, mosaics, epochs)
    project = Project(out)
    paths = project.ensemble(all=True)
    index = load_index(project.layout)
    blend = load_predictions(paths.predictions)
    y, fold = index.truth_of(blend.ids), load_folds(project.layout, project.config, index).fold
    (run,) = project.layout.runs.glob("net-*/oof.npz")
    for name, proba in (("one network", load_predictions(run).take(blend.ids).first), ("blend", blend.first)):
        print(f"{name}: mean column AUC {told('auc', y, proba)}, macro-F1 at .5 {told('macro_f1', y, proba)}")
    answers = np.empty_like(y)
    for number in np.unique(fold):
        inside = fold == number
        rule = decide.fit("macro_f1", y[~inside], blend.first[~inside], fold[~inside]).decision
        answers[inside] = answer(rule, blend.first[inside])
    print(f"blend, thresholds of the other folds: macro-F1 {told('macro_f1', y, answers)}")


if __name__ == "__main__":
    given = [*sys.argv[1:], *("4000", "12", "build/mosaics")[len(sys.argv) - 2 :]]
    main(Path(given[0]), int(given[1]), int(given[2]), Path(given[3]))
