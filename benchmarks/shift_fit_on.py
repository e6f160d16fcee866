"""Blends fitted on clean rows, on stressed ones, or on both, scored on shifted tests; the peer is the plain mean.

    python benchmarks/shift_fit_on.py --cache cache --libraries 8
    python benchmarks/shift_fit_on.py --cache cache --small --sets practice     (a minute)

A library is five of the scikit-learn models of `shift_zoo.py`, drawn at random. Everything is fitted out of fold on its
clean and stressed rows; the shifted tests, and the one that is not shifted, are only scored.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from machine import machine
from shift_zoo import Zoo, load

from kit.judge.blend import FIT_ON, fit
from kit.judge.score import score

MEMBERS = 5
METRICS = ("nll", "accuracy")


def folds_of(zoo: Zoo) -> np.ndarray:
    """The folds that the zoo was trained on are stratified; any split of rows does for weights of so few members."""
    return np.random.default_rng(0).permutation(np.arange(len(zoo.y)) % 5)


def scores(zoo: Zoo, models: np.ndarray) -> dict[str, np.ndarray]:
    """(T, 2) log loss and accuracy on every test, by what the blend was fitted on."""
    clean = zoo.clean[models].astype(np.float64)
    stressed = zoo.stressed[models][:, : len(zoo.y)].astype(np.float64)  # the first pass: every row once
    tests = zoo.tests[:, models].astype(np.float64)
    found = {"plain mean": [t.mean(axis=0) for t in tests]}
    for name in FIT_ON:
        blend = fit(clean, zoo.y, folds_of(zoo), metric="nll", stressed=stressed, fit_on=name)
        found[name] = [blend.apply(t) for t in tests]
    return {
        name: np.array(
            [[score(metric, y, proba) for metric in METRICS] for y, proba in zip(zoo.truth, probas, strict=True)]
        )
        for name, probas in found.items()
    }


def report(name: str, zoo: Zoo, libraries: int) -> None:
    drawn = [np.random.default_rng([3, k]).permutation(len(zoo.names))[:MEMBERS] for k in range(libraries)]
    every = [scores(zoo, models) for models in drawn]
    print(f"{name}: {libraries} libraries of {MEMBERS} models, gains over the plain mean; +- over libraries")
    for title, chosen in (("not shifted", slice(0, 1)), ("shifted", slice(1, None))):
        print(f"  {title:17s} plain mean: log loss {mean(every, 'plain mean', chosen)[0]:.4f}, "
              f"accuracy {100 * mean(every, 'plain mean', chosen)[1]:.2f}")  # fmt: skip
        for kind in FIT_ON:
            gains = np.array([one[kind][chosen].mean(0) - one["plain mean"][chosen].mean(0) for one in every])
            error = gains.std(0, ddof=1) / np.sqrt(len(gains))
            worst = np.array([(one[kind][chosen] - one["plain mean"][chosen])[:, 0].max() for one in every]).max()
            print(
                f"    fitted on {kind:9s} log loss {gains[:, 0].mean():+.4f} +- {error[0]:.4f} (worst {worst:+.4f}) "
                f"accuracy {100 * gains[:, 1].mean():+.2f} +- {100 * error[1]:.2f} points"
            )


def mean(every: list[dict[str, np.ndarray]], kind: str, chosen: slice) -> np.ndarray:
    return np.mean([one[kind][chosen].mean(0) for one in every], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--libraries", type=int, default=8)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--sets", nargs="+", default=["digits", "practice"])
    options = parser.parse_args()
    print(machine())
    for name in options.sets:
        report(name, load(name, options.cache, options.small), options.libraries)


if __name__ == "__main__":
    main()
