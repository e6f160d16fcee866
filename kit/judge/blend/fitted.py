"""What a candidate makes of its rows; a file of its own, so that a candidate can be one as well."""

from dataclasses import dataclass

import numpy as np

from kit.judge.blend.rows import Rows
from kit.judge.metrics import Array
from kit.runtime.pool import Part


@dataclass(frozen=True)
class Fitted:
    """A part, the duality gap of its convex weights and the bound of its log-linear coefficients, 0 without them."""

    part: Part
    gap: float = 0.0
    bound: float = 0.0


def linear_part(
    rows: Rows, weights: Array | None = None, *, temperatures: Array | None = None, final: float = 1.0
) -> Part:
    """Return the part of a linear pool, of equal weights by default, between two temperatures."""
    ones = np.ones(rows.members)
    return {
        "temperatures": (ones if temperatures is None else temperatures).tolist(),
        "weights": (ones / rows.members if weights is None else weights).tolist(),
        "centre": 1.0 / final,
        "slopes": [0.0] * rows.members,
        "bias": [0.0] * rows.classes,
    }
