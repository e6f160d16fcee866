"""Weights as plain arrays in the order of ``model.weights``.

A ``.keras`` file written by Keras 3.15 does not load in 3.8 or 3.4; the builder of the same network filled with
plain arrays does, and an ``.npz`` without pickles can be read from anybody without running their code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def of(model: Any) -> dict[str, NDArray[np.float32]]:
    """The weights of ``model`` as numbered arrays, ready for ``np.savez``."""
    return {f"{number:04d}": np.asarray(value) for number, value in enumerate(model.weights)}


def load(model: Any, path: str) -> list[Any]:
    """The float32 arrays of an ``.npz``; `ValueError` where they do not fit ``model.weights``, or one is not finite."""
    what, expected = Path(path).name, [tuple(weight.shape) for weight in model.weights]
    with np.load(path, allow_pickle=False) as file, np.errstate(over="ignore"):
        names = sorted(file.files)
        arrays = [np.asarray(file[name], dtype=np.float32) for name in names]
    if [array.shape for array in arrays] != expected:
        raise ValueError(f"{what} holds {len(arrays)} arrays that do not fit the network's {len(expected)} weights")
    for name, array in zip(names, arrays, strict=True):
        if not np.isfinite(array).all():
            raise ValueError(f"{what}: array {name} holds NaN, infinity or a number too large for float32")
    return arrays


def assign(model: Any, path: str) -> None:
    """Fill ``model`` from the ``.npz`` at ``path``; nothing is assigned where `load` refuses it."""
    for weight, array in zip(model.weights, load(model, path), strict=True):
        weight.assign(array)
