"""Newton's method for pools of log probabilities: smooth, strongly convex problems with a ridge.

A neighbouring problem (other rows, nearly the same minimum) has nearly the same Hessian, but for the ridge: it serves
until a step gains less than it should, corrected by what the steps find (BFGS), because Hessians cost many times as
much as gradients. The certificate ``|gradient|^2 / (2 mu)`` bounds the suboptimality, where ``mu`` is the ridge,
whatever the steps were.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kit.judge.metrics import Array

TOLERANCE = 1e-12
MAX_STEPS = 60
FALL = 4.0  # the bound is to fall by this factor in a step, or the Hessian is computed again
PRECISION = 1e-14
SINGLE = 1e-7  # both, where probabilities are of single precision, or a total of SLACK nats if that is more
SLACK = 0.02
HESSIAN_ROWS = 20_000  # more say the same about how far to step


class Problem(Protocol):
    """A mean log loss of P parameters, to which a ridge (P,), all positive, is added."""

    @property
    def ridge(self) -> Array:
        """What is added to the loss, as precisions in units of the mean loss."""

    def evaluate(self, theta: Array) -> tuple[float, Array, Array]:
        """Return the mean log loss, its gradient (P,) and the probabilities (N, C)."""

    def hessian(self, proba: Array) -> Array:
        """Return its Hessian (P, P), or nearly: it only decides on how many steps are taken."""


@dataclass(frozen=True)
class Optimum:
    """Parameters (P,) whose penalised mean log loss is at most ``bound`` above its minimum, and a Hessian."""

    theta: Array
    bound: float
    hessian: Array | None


def minimise(problem: Problem, start: Optimum | None = None) -> Optimum:
    """Minimise mean log loss plus ridge, starting from the optimum of a neighbouring problem."""
    theta = np.zeros(len(problem.ridge)) if start is None else start.theta
    given = hessian = None if start is None else start.hessian
    factor, before, steps = None, np.inf, list[tuple[Array, Array]]()
    loss, gradient, proba = _penalised(problem, theta)
    tolerance, precision = TOLERANCE, PRECISION
    if proba.dtype == np.float32:
        tolerance, precision = max(SINGLE, SLACK / len(proba)), SINGLE
    for _ in range(MAX_STEPS):
        bound = float(np.sum(gradient**2 / problem.ridge) / 2.0)
        if bound <= tolerance:
            break
        if hessian is None or bound > before / FALL:
            hessian, factor, steps = problem.hessian(proba), None, []
        if factor is None:
            factor = cho_factor(hessian + np.diag(problem.ridge))
        before, direction = bound, -_solve(factor, steps, gradient)
        step, slope = 1.0, float(gradient @ direction)
        while step > 1e-8 and slope < 0:
            moved = theta + step * direction
            ahead = _penalised(problem, moved)
            if ahead[0] <= loss + 1e-4 * step * slope + precision:
                change = ahead[1] - gradient
                steps += [(moved - theta, change)] if change @ direction > 0 else []  # rounding may say otherwise
                theta, (loss, gradient, proba) = moved, ahead
                break
            step /= 2.0
        else:
            break
    # Neighbours start at the optimum, where their Hessian should be from.
    return Optimum(theta, bound, given if hessian is given else problem.hessian(proba))


def _solve(factor: Any, steps: list[tuple[Array, Array]], gradient: Array) -> Array:
    """Solve for a factor's Hessian as BFGS corrects it by steps and their changes of the gradient (Nocedal 1980)."""
    if not steps:
        return np.asarray(cho_solve(factor, gradient))
    step, change = steps[-1]
    part = step @ gradient / (step @ change)
    found = _solve(factor, steps[:-1], gradient - part * change)
    return np.asarray(found + (part - change @ found / (step @ change)) * step)


def _penalised(problem: Problem, theta: Array) -> tuple[float, Array, Array]:
    loss, gradient, proba = problem.evaluate(theta)
    return loss + 0.5 * float(np.sum(problem.ridge * theta**2)), gradient + problem.ridge * theta, proba
