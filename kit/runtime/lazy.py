"""TensorFlow and Keras, loaded when something of them is first used: most commands need neither."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """Stands for the module called ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


keras: Any = Lazy("keras")
tf: Any = Lazy("tensorflow")
