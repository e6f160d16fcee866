"""Types the modules of the package share."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Part(TypedDict):
    """One pool as plain JSON, see ``kit.runtime.pool``; a part of a blend has a name and a share as well."""

    name: NotRequired[str]
    share: NotRequired[float]
    temperatures: list[float]
    weights: list[float]
    centre: float
    slopes: list[float]
    bias: list[float]
    ranks: NotRequired[list[list[list[float]]]]


class Params(TypedDict):
    """All that ``kit.runtime.pool.apply`` needs, as plain JSON."""

    views: list[float]
    parts: list[Part]


Generator = np.random.Generator
