"""What rounds of self-training on images without labels gain, over several competitions.

    python benchmarks/rounds.py OUT [--seeds 0 1 2] [--rounds 2] [--size 32] [--epochs 12]
    python benchmarks/rounds.py OUT --set SET.npz [--labelled 3000] [--unlabelled 5000]

Each seed is a competition of its own: other images, other folds, other initial weights. A network is trained on three
folds, then each round on images without labels too, with the labels of the round before. In practice competitions these
are the hidden test, and the network is `residual-cnn`. ``SET.npz`` has the keys of Keras' data sets (``x_train``,
``y_train``, ``x_test``, ``y_test``): as many training images as said keep their labels and others lose them, all test
images are given too, and the network is `resnet-small`. Rounds are trained whether they gain or not. Gains are over the
run without them, as means over seeds with the standard error of such a mean. OUT keeps what is finished.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import machine

from kit.images.sources import open_source
from kit.judge.score import score
from kit.project import Project
from kit.runs.results import load_oof, load_test
from kit.runs.spec import plan_runs
from kit.runs.stressed import load_stressed
from kit.runs.sweep import round_of
from kit.store.data import load_index, unlabelled_record

RUN = "network"
TOML = """
[competition]
name = "rounds"
[folds]
n = 3
seed = {seed}
[train]
workers = 1
[stress]
rows = 20
"""
PRACTICE = """
[data]
train = "practice"
truth = "practice"
test = "raw/test.npz"
practice = {{ size = {size}, seed = {seed} }}
[runs.network]
backbone = "residual-cnn"
augment = [{{ op = "dihedral" }}, {{ op = "degrade" }}]
stages = [{{ train = "all", epochs = {epochs}, optimizer = "adamw", lr = 2e-3 }}]
seed = {seed}
"""
GIVEN = """
[data]
train = "raw/train.npz"
unlabelled = "raw/train.npz"
test = "raw/test.npz"
truth = "raw/truth.npz"
[runs.network]
backbone = "resnet-small"
augment = [{{ op = "flip" }}]
views = ["identity", "flip-lr"]
batch_size = 64
label_smoothing = 0.1
seed = {seed}
[[runs.network.stages]]
train = "all"
epochs = {epochs}
optimizer = "sgd"
lr = 0.05
weight_decay = 5e-3
schedule = {{ kind = "cosine", warmup = 2.0 }}
"""


def divide(raw: Path, seed: int, options: argparse.Namespace) -> None:
    """Write the training images that are used, most without their label, and the test images with theirs."""
    with np.load(options.set) as found:
        x, y, x_test, y_test = (found[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    rows = np.random.default_rng(seed).permutation(len(x))[: options.labelled + options.unlabelled]
    labels = np.where(np.arange(len(rows)) < options.labelled, y.ravel()[rows].astype(int), -1)
    np.savez(raw / "train.npz", images=x[rows], labels=labels)
    np.savez(raw / "truth.npz", images=x_test, labels=y_test.ravel())


def trained(root: Path, seed: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """By run the accuracy of its clean and stressed rows out of fold, and of the hidden test."""
    (root / "raw").mkdir(parents=True, exist_ok=True)
    told = {"size": options.size, "seed": seed, "epochs": options.epochs}
    text = TOML + (GIVEN if options.set else PRACTICE)
    (root / "kit.toml").write_text(text.format(**told), encoding="utf-8")
    if options.set and not (root / "raw" / "truth.npz").exists():
        divide(root / "raw", seed, options)
    project = Project(root, emit=lambda event: None)
    layout, config = project.layout, project.config
    images, truth = next(open_source(config.data, layout.root, "truth").labelled())  # they are few
    if not (root / "raw" / "test.npz").exists():
        np.savez(root / "raw" / "test.npz", images=images)
    names = [round_of(RUN, number) for number in range(options.rounds + 1)]
    for name in names:
        project.train([name])
        project.stress([name])
    index, record = load_index(layout), unlabelled_record(layout, "test")
    assert record is not None
    found = {}
    for name, folds in plan_runs(layout, config, names).items():
        parts = (load_oof(folds, index), load_stressed(folds, config, index).mixture)
        means = [part.take(index.ids).proba.mean(axis=0) for part in parts]
        hidden = load_test(folds, index, record).proba.mean(axis=0)
        found[name] = [*(score("accuracy", index.labels, mean) for mean in means), score("accuracy", truth, hidden)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--set", type=Path)
    parser.add_argument("--labelled", type=int, default=3000)
    parser.add_argument("--unlabelled", type=int, default=5000)
    options = parser.parse_args()
    print(machine(), flush=True)
    every = []
    for seed in options.seeds:
        found = trained(options.out / f"seed-{seed}", seed, options)
        for name, scores in found.items():
            print(f"seed {seed}, {name}: " + ", ".join(map("{} {:.4f}".format, KINDS, scores)), flush=True)
        every.append(list(found.values()))
    scores = np.array(every)  # seed, round, kind
    gains = 100 * (scores[:, 1:] - scores[:, :1])
    for number, gain in enumerate(np.moveaxis(gains, 1, 0), start=1):
        error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.full(3, np.nan)
        cells = (f"{kind} {a:+.2f} +- {b:.2f}" for kind, a, b in zip(KINDS, gain.mean(axis=0), error, strict=True))
        print(f"round {number}, points: " + ", ".join(cells))


KINDS = ("clean", "stressed", "hidden")

if __name__ == "__main__":
    main()
