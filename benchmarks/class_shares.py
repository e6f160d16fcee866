"""What adapting to the classes' shares in a test gains and costs, on sixty simulated tests; the peer is no adaptation.

    python benchmarks/class_shares.py --cache cache

Twenty tests of each set of `shift_zoo.py` (blood cells where ``KIT_SHARED`` names their folder), five of every kind:
nothing moved, shares moved, pictures corrupted, both. A test is `ROWS` rows of real predictions, of a blend that was
fitted out of fold. Its shares are re-estimated by expectation maximisation (Saerens 2002) with Dirichlet pseudo-counts
at the training shares, and its probabilities multiplied by the ratio of the shares. A rule says where: `always`,
where a likelihood ratio says that shares moved (`shares`), and where besides pictures and outputs are alike, compared
with all training rows (`alike`), or with rows in the estimated shares (`alike, in these shares`). `true shares` knows.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from machine import machine
from shift_zoo import TEST, Zoo, load, pictures, shifted

from kit.judge.blend import fit
from kit.judge.score import score
from kit.judge.shift.outputs import detect, estimate
from kit.judge.shift.pictures import NAMES, adversarial, image_statistics

MEMBERS, ROWS, EACH = 5, 350, 5
KINDS = ("none", "shares", "corruption", "both")
RULES = ("always", "shares", "alike", "alike, in these shares", "true shares")
PSEUDO = 5.0  # rows a class that are taken to have come in the training shares
MOVED, ALIKE = 0.01, 0.05  # p values, of shares that moved and of pictures that did not
SPREAD = 1.0  # standard deviation of the logarithms of the shares' ratios


def shares_of(proba: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(C,) posterior mode of the shares; as many rows as the pseudo-counts say are spread as in training."""
    prior, strength = train, PSEUDO * len(train)
    for _ in range(2000):
        joint = proba / train * prior
        counts = (joint / joint.sum(1, keepdims=True)).sum(0)
        prior = (counts + strength * train) / (len(proba) + strength)
    return prior


def drawn(y: np.ndarray, moves: bool, rng: np.random.Generator) -> np.ndarray:
    """`ROWS` rows without replacement, at random or with other shares of the classes."""
    ratio = np.exp(rng.normal(0, SPREAD * moves, int(y.max()) + 1))
    return rng.choice(len(y), ROWS, replace=False, p=ratio[y] / ratio[y].sum())


def in_shares(y: np.ndarray, ratio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many different rows as there can be in shares that are the training's times ``ratio``."""
    return np.flatnonzero(rng.random(len(y)) < (ratio / ratio.max())[y])


def images_of(name: str, cache: Path) -> np.ndarray:
    path = cache / f"{name}-pictures.npy"
    if not path.exists():
        np.save(path, pictures(name)[0])
    return np.load(path)


class Tests:
    """A blend of a set, and the tests that are drawn of it."""

    def __init__(self, name: str, zoo: Zoo, images: np.ndarray) -> None:
        nll = [score("nll", zoo.y, proba.astype(float)) for proba in zoo.clean]
        self.zoo, self.name, models = zoo, name, np.argsort(nll)[:MEMBERS]
        clean, stressed = zoo.clean[models].astype(float), zoo.stressed[models][:, : len(zoo.y)].astype(float)
        folds = np.random.default_rng(0).permutation(np.arange(len(zoo.y)) % 5)
        self.blend = fit(clean, zoo.y, folds, metric="nll", stressed=stressed)
        self.outputs, self.models, self.test_images = clean.mean(0), models, images[-TEST:]
        self.train = np.bincount(zoo.y) / len(zoo.y)
        self.statistics = image_statistics(images[:-TEST][: len(zoo.y)]).astype(float)

    def one(self, kind: str, number: int) -> dict[str, tuple[float, float, float]]:
        """Whether each rule adapts, and what that gains in accuracy and costs in log loss."""
        rng = np.random.default_rng([9, KINDS.index(kind), number])
        test = int(rng.integers(1, 13)) if kind in ("corruption", "both") else 0
        rows = drawn(self.zoo.truth[test], kind in ("shares", "both"), rng)
        y, proba = (
            self.zoo.truth[test][rows],
            self.blend.apply(self.zoo.tests[test, self.models].astype(float)[:, rows]),
        )
        proba = np.maximum(proba, 1e-12)
        found, truly = shares_of(proba, self.train), (np.bincount(y, minlength=len(self.train)) + 0.5) / (len(y) + 1)
        moved = estimate(proba, self.train).pvalue < MOVED
        statistics = image_statistics(shifted(self.test_images, test)[rows]).astype(float)
        outputs = self.zoo.folds[test, self.models, 0].astype(float)[:, rows].mean(0)
        kept = in_shares(self.zoo.y, found / self.train, rng)
        every = np.arange(len(self.zoo.y))
        alike = {name: moved and self._alike(some, statistics, outputs) for name, some in
                 (("alike", every), ("alike, in these shares", kept))}  # fmt: skip
        acts = {"always": True, "shares": moved, **alike, "true shares": True}
        made = {}
        for rule, does in acts.items():
            ratio = (truly if rule == "true shares" else found) / self.train if does else np.ones(len(found))
            adapted = proba * ratio / (proba * ratio).sum(1, keepdims=True)
            gains = [score(metric, y, adapted) - score(metric, y, proba) for metric in ("accuracy", "nll")]
            made[rule] = (float(does), 100 * gains[0], gains[1])
        return made

    def _alike(self, rows: np.ndarray, statistics: np.ndarray, outputs: np.ndarray) -> bool:
        told = adversarial(self.statistics[rows], statistics, 0, NAMES)
        return told.pvalue > ALIKE and detect(self.outputs[rows], outputs) > ALIKE


def show(found: dict[str, list[dict[str, tuple[float, float, float]]]], title: str) -> None:
    for kind, tests in found.items():
        for rule in RULES:
            acts, gains, losses = np.array([test[rule] for test in tests]).T
            print(f"{title:9s} {kind:11s} {rule:23s} acts {int(acts.sum()):2d} of {len(acts)}  accuracy "
                  f"{gains.mean():+.2f} (worst {gains.min():+.2f})  log loss {losses.mean():+.4f} "
                  f"(worst {losses.max():+.4f})", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    names = ["digits", "practice", *(["blood"] if os.environ.get("KIT_SHARED") else [])]
    parser.add_argument("--sets", nargs="+", default=names)
    options = parser.parse_args()
    print(machine())
    every: dict[str, list[dict[str, tuple[float, float, float]]]] = {kind: [] for kind in KINDS}
    for name in options.sets:
        tests = Tests(name, load(name, options.cache), images_of(name, options.cache))
        found = {kind: [tests.one(kind, number) for number in range(EACH)] for kind in KINDS}
        show(found, name)
        every = {kind: every[kind] + found[kind] for kind in KINDS}
    show(every, "all")


if __name__ == "__main__":
    main()
