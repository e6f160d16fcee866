"""Types the modules of the package share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Generator = np.random.Generator
