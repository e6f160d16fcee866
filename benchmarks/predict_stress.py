"""`kit stress` and `kit train` of new test images by engine of `[predict]`: processor time of whole commands.

    python benchmarks/predict_stress.py [--data DIR] [--rows 1200] [--tests 1200]

Needs `pip install "kit[openvino,litert]"`. DIR (default: ``$KIT_SHARED``) holds ``blood/train.zip``, ``train.csv``, and
the weights of MobileNetV2. Two folds of its head are trained once, for one epoch. Then each engine runs the same
commands: start of the processes, corruptions, conversion and scores included; the others a second time with what they
converted. The greatest difference of a probability is that of all stressed and test predictions.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from machine import machine

from kit.runs.units.networks import ENGINES, version_of
from kit.runtime.pool import softmax
from kit.store.files import read_csv
from kit.store.predictions import load_predictions

CONFIG = """
[data]
train = "train.csv"
test = "test"
image_size = 96
[clean]
near = "off"
[folds]
n = 2
[stress]
rows = 40
[predict]
engine = "{engine}"
[runs.net]
backbone = "mobilenetv2"
weights = "{weights}"
stages = [{{ train = "head", epochs = 1, cached_views = 1 }}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KIT_SHARED"))
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--tests", type=int, default=1200)
    options = parser.parse_args()
    if options.data is None or not (Path(options.data) / "blood" / "train.zip").exists():
        sys.exit("no blood cells: --data DIR or KIT_SHARED")
    need_engines()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, Path(options.data).resolve(), options.rows, options.tests)
        weights = Path(options.data).resolve() / "weights" / "mobilenetv2_imagenet_notop.weights.h5"
        found = {}
        for engine in ("tensorflow", "openvino", "openvino", "litert", "litert"):
            (folder / "kit.toml").write_text(CONFIG.format(engine=engine, weights=weights))
            if not found:
                kit(folder, "train")
            for record in folder.glob("runs/net-*/fold-*/test.json"):
                record.unlink()
            seconds = kit(folder, "train"), kit(folder, "stress", "--force")
            files = sorted(folder.glob("runs/net-*/fold-*/*.npz"))
            named = [path for path in files if path.stem in ("test", "stress", "stress-grid")]
            proba = np.concatenate([softmax(load_predictions(path).logits).ravel() for path in named])
            first = found.setdefault("tensorflow", (seconds, proba))
            ratios = [before / after for before, after in zip(first[0], seconds, strict=True)]
            print(
                f"{engine}: test {seconds[0]:.1f} s, stress {seconds[1]:.1f} s of processor time; ratio to the first "
                f"{ratios[0]:.2f} and {ratios[1]:.2f}; within {np.abs(proba - first[1]).max():.1e}",
                flush=True,
            )


def make_project(folder: Path, data: Path, rows: int, tests: int) -> None:
    """A project of the first cells; the next ones are its test images."""
    lines = read_csv(data / "blood" / "train.csv")[: rows + tests]
    (folder / "train").mkdir()
    (folder / "test").mkdir()
    with zipfile.ZipFile(data / "blood" / "train.zip") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for number, line in enumerate(lines):
            name = Path(line["file"]).name
            (folder / ("train" if number < rows else "test") / name).write_bytes(archive.read(names[name]))
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["file", "label"], *([line["file"], line["label"]] for line in lines[:rows])])


def need_engines() -> None:
    """End where an engine is not installed: the kit would predict with TensorFlow, and the ratio be that of nothing."""
    try:
        for engine in ENGINES:
            version_of(engine)
    except ImportError as error:
        sys.exit(str(error))


def kit(folder: Path, *arguments: str, **variables: str) -> float:
    """Processor seconds of a command and of all that it starts, with these variables in its environment."""
    before, environment = resource.getrusage(resource.RUSAGE_CHILDREN), {**os.environ, **variables}
    command = [sys.executable, "-m", "kit", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
