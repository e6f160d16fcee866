"""Temperature scaling with a prior (Guo et al. 2017).

``softmax(z / T)`` with ``log T`` drawn from a normal around zero: without the prior, eighty rows that all happen to
be right send T to zero. Solved in ``t = log T`` by damped Newton steps, so T is positive and the arg max stays.
"""

import numpy as np

from kit.judge.metrics import Array
from kit.runtime.pool import blocks, largest

SCALE = 0.5  # standard deviation of log T: published networks mostly lie between T = 0.6 and 2.5
LIMIT = 3.0  # |log T| of more than this is no temperature but a broken member
TOLERANCE = 1e-6  # of a step, and 1e-4 in single precision: what is left is of the order of its square
MAX_STEPS = 30


def fit_temperature(logs: Array, y: Array, *, start: float = 1.0) -> float:
    """Return the temperature of log probabilities (N, C) with the highest posterior density, starting at ``start``."""
    t, prior = float(np.log(start)), 1.0 / (SCALE**2 * len(y))
    tolerance = TOLERANCE if logs.dtype == np.float64 else 1e-4
    for _ in range(MAX_STEPS):
        beta = float(np.exp(-t))
        first, second = _derivatives(logs, y, beta)
        slope, curvature = -beta * first + prior * t, beta**2 * second + beta * first + prior
        step = -slope / curvature if curvature > 0 else -np.sign(slope)
        t = float(np.clip(t + np.clip(step, -0.7, 0.7), -LIMIT, LIMIT))
        if abs(step) < tolerance:
            break
    return float(np.exp(t))


def _derivatives(logs: Array, y: Array, beta: float) -> tuple[float, float]:
    """First and second derivative of the mean log loss in ``beta``; blocks stay in the processor's cache."""
    total = np.zeros(2)
    ones = np.ones(logs.shape[1], logs.dtype)  # a product with it is several times as fast as a sum over a short axis
    for block in blocks(len(y), 4 * logs.shape[1]):
        z = logs[block] - largest(logs[block])
        proba = beta * z
        np.exp(proba, out=proba)
        whole, proba = proba @ ones, np.multiply(proba, z, out=proba)
        mean = proba @ ones / whole
        spread = np.einsum("nc,nc->n", proba, z) / whole - mean**2
        total += (mean - z[np.arange(len(z)), y[block]]).sum(dtype=np.float64), spread.sum(dtype=np.float64)
    return float(total[0] / len(y)), float(total[1] / len(y))
