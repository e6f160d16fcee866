"""Types of arrays that cross borders."""

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating[Any]]
ImageArray = npt.NDArray[np.uint8]
