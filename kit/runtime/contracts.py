"""The classes that platforms import from ``model.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .predictor import Predictor

# The working directory is the platform's, not ours: everything is found from this file.
BUNDLE = str(Path(__file__).resolve().parent.parent)


class Model:
    """``Model().predict(X)``: classes (N,) of images (N, H, W, 3), 0 to 255, as numbers (`names.answers`).

    The older contract is ``model(path).predict(X)``; the path is not needed.
    """

    def __init__(self, path: str = "") -> None:
        self._predictor = Predictor(BUNDLE)

    def predict(self, X: Any) -> Any:
        return self._predictor.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self._predictor.predict_proba(X)


Legacy = Model
