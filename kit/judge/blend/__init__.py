"""The ensemble: fitted on out-of-fold predictions, weighted only where weighting pays, scored out of fold.

>>> blend = fit(proba, y, fold)          # proba (M, N, C) or (M, V, N, C)  # doctest: +SKIP
>>> blend.apply(test_proba)              # doctest: +SKIP
"""

from kit.judge.blend.blend import FIT_ON, fit
from kit.judge.blend.result import Blend, Options

__all__ = ["FIT_ON", "Blend", "Options", "fit"]
