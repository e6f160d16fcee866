"""Accuracy against minutes of a processor: the kit beside a student's script, on one set of small images.

    python benchmarks/minutes.py OUT SET.npz [--minutes 15 60] [--only kit student autokeras]

``SET.npz`` has the keys of Keras' data sets: ``x_train``, ``y_train``, ``x_test``, ``y_test``. The kit's commands are
the real ones, in OUT: ``kit init`` for the minutes on this machine, ``kit ensemble --all`` (five folds, corrupted
copies, the nested blend), ``kit submit`` for the test images. The student's script is the convolutional network of
Keras' first example, on one split of four fifths, for the processor time that the kit took. AutoKeras searches for as
long, where a version of it is installed and starts.

Processor time is user and system time of a command and of all processes that it leaves behind (Linux). Two idle cores
give 1.9 seconds of it a second. OUT keeps what was done: a command that was interrupted goes on where it was, but the
time before is then not in the sum.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

SUBREAPER = 36  # of prctl: orphans below this process become its children, so that their time is counted
LINE = "{:<10} {:>8} {:>10} {:>8} {:>12} {:>8}  {}"


def timed(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Standard output of a command, its minutes, and the minutes of a processor of all that it started."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    wall = time.monotonic() - started
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout, wall / 60, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60


def kit(out: Path, data: Path, minutes: float) -> tuple[float, float, str, str, str]:
    """Minutes, minutes of a processor, accuracy out of fold and on the test images, and what was trained."""
    root, command = out / f"{data.stem}-{minutes:g}", [sys.executable, "-m", "kit"]
    root.mkdir(parents=True, exist_ok=True)
    parts = []
    if not (root / "kit.toml").exists():
        parts.append(timed([*command, "init", "--train", str(data), "--hours", str(minutes / 60)], root))
    parts.append(timed([*command, "ensemble", "--all"], root))
    blend = json.loads(max(root.glob("submissions/*/ensemble.json")).read_text())
    wall, processor = sum(part[1] for part in parts), sum(part[2] for part in parts)
    hidden = json.loads(timed([*command, "submit", "--yes", "--json"], root)[0])["score"]
    text = (root / "kit.toml").read_text().splitlines()
    trained = [line.split(" #")[0] for line in text if line.startswith(("backbone", "stages"))]
    return wall, processor, f"{blend['cv']['score']:.4f}", f"{hidden:.4f}", " ".join(trained)


def split(data: Path) -> tuple[Any, ...]:
    """Four fifths of the training images with labels, the other fifth, and the test images; 0 to 1, with channels."""
    with np.load(data) as found:
        x, y = found["x_train"], found["y_train"].ravel().astype(int)
        x_test, y_test = found["x_test"], found["y_test"].ravel().astype(int)
    x, x_test = (a.reshape(*a.shape[:3], -1).astype(np.float32) / 255 for a in (x, x_test))
    order = np.random.default_rng(0).permutation(len(x))
    held, seen = np.split(order, [len(x) // 5])
    return x[seen], y[seen], x[held], y[held], x_test, y_test


def student(data: Path, seconds: float) -> dict[str, Any]:
    """What a first script does: two convolutions, dropout, Adam, as many epochs as fit into the processor time."""
    import keras

    x, y, x_held, y_held, x_test, y_test = split(data)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(int(y.max()) + 1, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    best: dict[str, Any] = {"out of fold": 0.0}
    epoch, took = 0, 0.0
    while time.process_time() + took < seconds:
        started = time.process_time()
        model.fit(x, y, batch_size=128, verbose=0)
        epoch, took = epoch + 1, time.process_time() - started
        scores = [float(model.evaluate(*part, verbose=0)[1]) for part in ((x_held, y_held), (x_test, y_test))]
        if scores[0] > best["out of fold"]:  # students keep the best epoch, and report it
            best = {"out of fold": scores[0], "hidden": scores[1], "what": f"epoch {epoch}"}
    return {**best, "what": f"best of {epoch} epochs on one split ({best['what']})"}


def autokeras(data: Path, seconds: float) -> dict[str, Any]:
    """AutoKeras' image classifier, trial after trial until the processor time is used."""
    import autokeras as ak

    x, y, x_held, y_held, x_test, y_test = split(data)
    best: dict[str, Any] = {"out of fold": 0.0}
    trials = 0
    while time.process_time() < seconds:
        trials += 1
        search = ak.ImageClassifier(max_trials=trials, overwrite=trials == 1, seed=0, directory=data.stem)
        search.fit(x, y, epochs=5, verbose=0)
        scores = [float(search.evaluate(*part, verbose=0)[1]) for part in ((x_held, y_held), (x_test, y_test))]
        best = max(best, {"out of fold": scores[0], "hidden": scores[1]}, key=lambda found: found["out of fold"])
    return {**best, "what": f"{trials} trials on one split"}


PEERS = {"student": student, "autokeras": autokeras}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[15.0])
    parser.add_argument("--only", nargs="+", choices=("kit", *PEERS), default=["kit", *PEERS])
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = options.data.resolve()
    if options.peer:
        print(json.dumps(PEERS[options.peer](data, 60 * options.minutes[0])))
        return
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine(), LINE.format("who", "planned", "processor", "minutes", "out of fold", "test", "what"), sep="\n")
    for minutes in options.minutes:
        processor = 1.9 * minutes
        if "kit" in options.only:
            wall, processor, *found = kit(options.out, data, minutes)
            print(LINE.format("kit", f"{minutes:g}", f"{processor:.1f}", f"{wall:.1f}", *found), flush=True)
        for peer in [name for name in PEERS if name in options.only]:
            again = [sys.executable, __file__, str(options.out), str(data)]
            try:
                answer, wall, used = timed([*again, "--peer", peer, "--minutes", str(processor)], options.out)
            except SystemExit:
                print(f"{peer}: it did not run, see above", flush=True)
                continue
            said = json.loads(answer.splitlines()[-1])
            found = [f"{said['out of fold']:.4f}", f"{said['hidden']:.4f}", said["what"]]
            print(LINE.format(peer, f"{minutes:g}", f"{used:.1f}", f"{wall:.1f}", *found), flush=True)


if __name__ == "__main__":
    main()
