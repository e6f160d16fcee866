"""Decisions: what answers gain when they are made for the metric, on simulated and on real predictions.

    python benchmarks/decisions.py [repeats] [folder of the prediction sets]

Each line: the arg max, the kit's decision, the same rule fitted to the labels by Nelder-Mead (what notebooks call
OptimizedRounder, for kappa with cut points on the expected grade, else with a bias of each class), the best rule
that knows the probabilities of the classes given what all members say, which no blend of them can beat, and the best
one that knows the evidence that they see through noise; with the standard error of the kit's gain. Everything is fitted
on one set and scored on another: 20,000 new rows, or the other half of the derma predictions in the folder
(``$KIT_SHARED/zoo``).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from machine import machine
from scipy.optimize import minimize
from scipy.stats import norm

from kit.judge import blend, decide, score

Drawn = tuple[np.ndarray, np.ndarray, list[np.ndarray]]
"""Predictions (M, N, C) of members, labels (N,), and true probabilities (N, C): given the members, given all."""


def draw(rng: np.random.Generator, rows: int, prior: np.ndarray, signal: float, noise: float) -> Drawn:
    """Two members that see the same evidence through noise of their own and are too sure."""
    y = rng.choice(len(prior), p=prior, size=rows)
    seen = signal**2 * np.eye(len(prior))[y] + signal * rng.normal(size=(rows, len(prior)))
    heard = seen + noise * rng.normal(size=(2, rows, len(prior)))
    # The mean of the members says all that they know: the evidence with a variance of signal^2 + noise^2 / 2.
    best = heard.mean(axis=0) * signal**2 / (signal**2 + noise**2 / 2)
    known = [softmax(np.log(prior) + best), softmax(np.log(prior) + seen)]
    return softmax(1.3 * (np.log(prior) + heard)), y, known


def draw_grades(rng: np.random.Generator, rows: int, noise: float = 0.5) -> Drawn:
    """Five grades of a hidden severity, measured with an error."""
    severity = rng.normal(size=rows)
    borders = norm.ppf(np.cumsum([0.49, 0.10, 0.27, 0.05]))  # diabetic retinopathy, APTOS 2019
    y = np.searchsorted(borders, severity)
    measured = severity + noise * rng.normal(size=rows)
    members = np.stack([measured + 0.25 * rng.normal(size=rows) for _ in range(2)])
    best = _graded(members.mean(axis=0), np.hypot(noise, 0.25 / 2**0.5), borders)
    return np.stack([_graded(each, noise, borders) for each in members]), y, [best, _graded(measured, noise, borders)]


def _graded(measured: np.ndarray, noise: float, borders: np.ndarray) -> np.ndarray:
    """Probabilities (N, 5) of the grades by a measurement (N,)."""
    mean, deviation = measured / (1.0 + noise**2), (1.0 + noise**-2) ** -0.5
    below = norm.cdf((borders - mean[:, None]) / deviation)
    proba = np.diff(below, axis=1, prepend=0.0, append=1.0)
    return np.maximum(proba, 1e-9) / np.maximum(proba, 1e-9).sum(axis=1, keepdims=True)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def nelder_mead(metric: str, y: np.ndarray, proba: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The rule of notebooks: parameters that maximise the metric on the labels at hand."""
    classes = proba.shape[1]
    if metric == "qwk":
        start = np.arange(classes - 1) + 0.5

        def answer(cuts: np.ndarray, given: np.ndarray) -> np.ndarray:
            return np.searchsorted(np.sort(cuts), given @ np.arange(classes))
    else:
        start = np.zeros(classes)

        def answer(bias: np.ndarray, given: np.ndarray) -> np.ndarray:
            return (np.log(np.maximum(given, 1e-12)) + bias).argmax(axis=1)

    found = minimize(
        lambda x: -score.score(metric, y, answer(x, proba)), start, method="Nelder-Mead",
        options={"maxfev": 300, "initial_simplex": start + 0.5 * np.eye(len(start) + 1)[:, : len(start)]},
    )  # fmt: skip
    return lambda given: answer(found.x, given)


Case = Callable[[int], tuple[Drawn, Drawn]]


def cases(zoo: Path) -> Iterator[tuple[str, str, Case]]:
    """Name, metric and draw of each line."""

    def simulated(rows: int, one: Callable[[np.random.Generator, int], Drawn]) -> Case:
        return lambda seed: (one(np.random.default_rng(seed), rows), one(np.random.default_rng(seed + 10**6), 20_000))

    tail = 0.62 ** np.arange(8)
    tail, rare = tail / tail.sum(), np.array([0.95, 0.05])

    def of(prior: np.ndarray, signal: float) -> Callable[[np.random.Generator, int], Drawn]:
        return lambda rng, rows: draw(rng, rows, prior, signal, 0.4)

    for rows in (500, 2000):
        yield f"five grades, n = {rows}", "qwk", simulated(rows, draw_grades)
    for rows in (1000, 4000):
        yield f"eight classes with a tail, n = {rows}", "balanced_accuracy", simulated(rows, of(tail, 1.95))
    yield "5 % positives, n = 2000", "balanced_accuracy", simulated(2000, of(rare, 1.7))
    yield "eight classes with a tail, n = 1000", "macro_f1", simulated(1000, of(tail, 1.95))
    yield "5 % positives, n = 2000", "macro_f1", simulated(2000, of(rare, 1.7))

    def derma(seed: int) -> tuple[Drawn, Drawn]:
        with np.load(zoo / "derma.npz") as file:
            proba, y = file["probabilities"], file["labels"]
        halves = np.array_split(np.random.default_rng(seed).permutation(len(y)), 2)
        first, second = ((proba[:, half], y[half], list[np.ndarray]()) for half in halves)
        return first, second

    if (zoo / "derma.npz").exists():
        for metric in ("balanced_accuracy", "macro_f1"):
            yield "derma, half of 2005", metric, derma


def line(metric: str, case: Case, seed: int) -> list[float]:
    """Scores on new rows of the five rules of one draw, or of three where no probabilities are known."""
    (proba, y, _), (new, truth, known) = case(seed)
    fold = np.random.default_rng(seed).permutation(np.arange(len(y)) % 5)
    fitted = blend.fit(proba, y, fold, metric=metric)
    said = fitted.apply(new)
    bounds = [decide.apply(decide.best(metric, each, labels=False), each) for each in known]
    answers = (said.argmax(axis=1), fitted.decide(new), nelder_mead(metric, y, fitted.oof)(said))
    return [score.score(metric, truth, each) for each in (*answers, *bounds)]


def main(repeats: int, zoo: Path) -> None:
    """Print the means over the repeats."""
    print(machine())
    print(f"{'':38s} {'metric':18s} arg max  decided  Nelder-Mead  members   all   gain (se)")
    for name, metric, case in cases(zoo):
        found = np.array([line(metric, case, seed) for seed in range(repeats)])
        gain = found[:, 1] - found[:, 0]
        means, error = found.mean(axis=0), gain.std(ddof=1) / np.sqrt(repeats)
        told = "  ".join(f"{mean:.4f} " for mean in means).ljust(43)
        print(f"{name:38s} {metric:18s} {told}  {100 * gain.mean():+.2f} ({100 * error:.2f})", flush=True)


if __name__ == "__main__":
    shared = Path(os.environ.get("KIT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, Path(sys.argv[2]) if len(sys.argv) > 2 else shared / "zoo")
