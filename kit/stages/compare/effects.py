"""Differences between recipes with both of their noises: which rows were held out, and which seed was drawn.

The rows give a paired bootstrap of the difference between the trained networks. Another seed would have trained others:
runs that differ in the seed alone say by how much scores move for that reason. Both variances add up, and the
uncertainty of the second one, from few seeds, is that of a Student distribution (Satterthwaite 1946; for why one seed
is not enough: Bouthillier et al. 2021). What a seed does on these rows is in both parts: intervals are a
little wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from kit.base.arrays import IntArray
from kit.judge import score
from kit.store.record import Part

Proba = NDArray[np.floating]
Groups = NDArray[np.str_] | None
LEVEL, SURE = 0.95, 0.05
NOTHING = "no difference to be seen"


@dataclass(frozen=True, eq=False)
class Recipe:
    """A recipe and what its runs, one a seed, say of the same N rows: an (N, C) array each."""

    name: str
    runs: tuple[str, ...]
    probas: tuple[Proba, ...]


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation of one run's score between seeds, pooled over recipes, and its degrees of freedom.

    None, and 0, where no recipe was trained with two seeds.
    """

    deviation: float | None
    freedom: int


@dataclass(frozen=True)
class Effect:
    """What a recipe gains over another one.

    ``gain`` is in the metric's units, positive where it is better, whatever the metric's direction; ``low`` and
    ``high`` are the 95 % interval, of both noises where the second is known. ``rows`` and ``seeds`` are the standard
    errors of the two; the second is None where it is not known. ``p`` is of a gain as far from 0, were there none.
    """

    gain: float
    low: float
    high: float
    rows: float
    seeds: float | None
    p: float


def seed_noise(scores: Sequence[Sequence[float]]) -> SeedNoise:
    """Pool the variances within recipes; ``scores`` has one sequence a recipe with one score a seed."""
    freedom = sum(len(one) - 1 for one in scores)
    squares = sum(float(np.var(one)) * len(one) for one in scores)
    return SeedNoise(float(np.sqrt(squares / freedom)) if freedom else None, freedom)


def effect(
    metric: str, y: IntArray, recipe: Recipe, base: Recipe, noise: SeedNoise, seed: int = 0, groups: Groups = None
) -> Effect:
    """The gain of ``recipe`` over ``base`` on the rows whose labels are ``y``; ``groups`` of rows count once each."""
    others, share = base.probas, 1 / len(recipe.probas) + 1 / len(base.probas)
    if set(recipe.runs) <= set(base.runs):  # the same networks, read in another way: no seed lies between
        others, share = tuple(base.probas[base.runs.index(run)] for run in recipe.runs), 0.0
    found = score.contrast(metric, y, recipe.probas, others, seed=seed, groups=groups)
    seeds = None if noise.deviation is None else noise.deviation * share**0.5
    variance = found.se**2 + (seeds or 0.0) ** 2
    # Rows are many, so their degrees of freedom are unlimited.
    error, freedom = variance**0.5, min(1e9, noise.freedom * variance**2 / seeds**4) if seeds else 1e9
    gain = score.lookup(metric).sign * found.score
    width = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * student.sf(abs(gain) / error, freedom)) if error > 0 else float(gain == 0)
    return Effect(gain, gain - width, gain + width, found.se, seeds, p)


def holm(p: Sequence[float]) -> list[float]:
    """p values that allow for how many differences were looked at (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(p), 0, -1) * np.asarray(p)[order]))
    return adjusted.tolist()


def verdict(found: Effect | None, p: float) -> str:
    """`better`, `worse`, `NOTHING`, or `perhaps` where ``p``, which allows for how many were looked at, is not sure."""
    if found is None:
        return ""
    if found.p >= SURE:
        return NOTHING
    which = "better" if found.gain > 0 else "worse"
    return which if p < SURE else f"perhaps {which}"


class Compared(Part):
    """A recipe, its runs (one a seed), mean and standard deviation of their scores, its effect against the first."""

    recipe: str
    runs: tuple[str, ...]
    score: float
    between_seeds: float | None
    effect: Effect | None
    verdict: str


def compared(
    metric: str, y: IntArray, recipes: Sequence[Recipe], seed: int, groups: Groups = None
) -> tuple[list[Compared], SeedNoise]:
    """Every recipe against the first, and the noise of seeds that this rests on."""
    scores = [tuple(score.score(metric, y, proba) for proba in recipe.probas) for recipe in recipes]
    noise = seed_noise(scores)
    effects = [effect(metric, y, recipe, recipes[0], noise, seed, groups) for recipe in recipes[1:]]
    adjusted = holm([found.p for found in effects])
    lines = [
        Compared(
            recipe=recipe.name,
            runs=recipe.runs,
            score=float(np.mean(one)),
            between_seeds=float(np.std(one, ddof=1)) if len(one) > 1 else None,
            effect=found,
            verdict=verdict(found, p),
        )
        for recipe, one, found, p in zip(recipes, scores, [None, *effects], [1.0, *adjusted], strict=True)
    ]
    return lines, noise
