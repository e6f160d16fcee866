"""Metrics of numbers: of ``y`` and what was said, both (N,), the value and what each row adds (N,), with mean zero."""

import numpy as np

from kit.judge.metrics.rows import Array


def row_mae(y: Array, said: Array) -> Array:
    """Return (N,) distances."""
    return np.asarray(abs(said - y))


def all_rmse(y: Array, said: Array) -> tuple[float, Array]:
    """Root of the mean squared error."""
    squares = (said - y) ** 2
    value = float(np.sqrt(squares.mean()))
    return value, (squares - squares.mean()) / max(2.0 * value, 1e-300)


def all_r2(y: Array, said: Array) -> tuple[float, Array]:
    """Share of the variance that is explained; 0 where there is none."""
    squares, spread = (said - y) ** 2, (y - y.mean()) ** 2
    if not spread.any():
        return 0.0, np.zeros(len(y))
    left = squares.mean() / spread.mean()
    return float(1.0 - left), (left * spread - squares) / spread.mean()
