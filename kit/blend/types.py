"""Types the modules of the package share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Part = dict[str, Any]
"""One pool as plain JSON, see ``kit.runtime.pool``."""

Generator = np.random.Generator
