"""Newton's method for pools of log probabilities: smooth, strongly convex problems with a ridge.

A neighbouring problem (other rows, nearly the same minimum) has nearly the same Hessian: its factor serves until a step
gains less than it should (the chord method), because Hessians cost many times as much as gradients. The certificate
``|gradient|^2 / (2 mu)`` bounds the suboptimality, where ``mu`` is the ridge, whatever the steps were.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from kit.judge.metrics import Array

TOLERANCE = 1e-10
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

    def predict(self, theta: Array) -> tuple[float, Array]:
        """Return the mean log loss and the probabilities (N, C)."""

    def gradient(self, proba: Array) -> Array:
        """Return the gradient (P,) of the mean log loss."""

    def hessian(self, proba: Array) -> Array:
        """Return its Hessian (P, P), or nearly: it only decides on how many steps are taken."""


@dataclass(frozen=True)
class Optimum:
    """Parameters (P,) whose penalised mean log loss is at most ``bound`` above its minimum, and a Hessian's factor."""

    theta: Array
    bound: float
    factor: Any


def minimise(problem: Problem, start: Optimum | None = None) -> Optimum:
    """Minimise mean log loss plus ridge, starting from the optimum of a neighbouring problem."""
    theta = np.zeros(len(problem.ridge)) if start is None else start.theta
    factor, before = None if start is None else start.factor, np.inf
    loss, proba = _penalised(problem, theta)
    double = proba.dtype == np.float64
    tolerance, precision = (TOLERANCE, PRECISION) if double else (max(SINGLE, SLACK / len(proba)), SINGLE)
    for _ in range(MAX_STEPS):
        gradient = problem.gradient(proba) + problem.ridge * theta
        bound = float(np.sum(gradient**2 / problem.ridge) / 2.0)
        if bound <= tolerance:
            break
        if factor is None or bound > before / FALL:
            factor = cho_factor(problem.hessian(proba) + np.diag(problem.ridge))
        before, direction = bound, -cho_solve(factor, gradient)
        step, slope = 1.0, float(gradient @ direction)
        while step > 1e-8 and slope < 0:
            moved = theta + step * direction
            ahead, proba_ahead = _penalised(problem, moved)
            if ahead <= loss + 1e-4 * step * slope + precision:
                theta, loss, proba = moved, ahead, proba_ahead
                break
            step /= 2.0
        else:
            break
    return Optimum(theta, bound, factor)


def _penalised(problem: Problem, theta: Array) -> tuple[float, Array]:
    loss, proba = problem.predict(theta)
    return loss + 0.5 * float(np.sum(problem.ridge * theta**2)), proba
