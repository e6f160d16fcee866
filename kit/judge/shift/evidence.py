"""What a forecast is made of: held-out rows, clean and under stress, and the test where it is given."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kit.errors import DataError
from kit.images.corrupt.plan import CLEAN, Mixture
from kit.judge import decide
from kit.judge.metrics import Array
from kit.judge.score import row_values
from kit.runtime.decide import Decision


@dataclass(frozen=True, eq=False)
class Evidence:
    """Predictions of M models (an ensemble is one more); all probabilities, all out of fold but the test's."""

    names: tuple[str, ...]
    y: NDArray[np.integer]  # (N,) labels of the held-out rows
    clean: NDArray[np.floating]  # (M, N, C) predictions for them as they are
    rows: NDArray[np.integer]  # (S,) the held-out row behind every stressed picture; one may come several times
    family: NDArray[np.str_]  # (S,) what was done to it, as `kit.images.corrupt.plan.assign` says
    severity: NDArray[np.integer]  # (S,)
    stressed: NDArray[np.floating]  # (M, S, C) predictions for the stressed pictures
    test: NDArray[np.floating] | None = None  # (M, R, C) for the test pictures
    folds: NDArray[np.floating] | None = None  # (M, K, R', C) of each fold for every n-th of them, from the first on
    averaged: int = 1  # networks, one a fold, whose mean predicts the test where one predicts a row held out
    metric: str = "accuracy"
    decisions: tuple[Decision | None, ...] = ()  # (M,) what each answers, where that is not the likeliest class

    def __post_init__(self) -> None:
        models, size = len(self.names), len(self.rows)
        if self.clean.shape[:2] != (models, len(self.y)) or self.stressed.shape[:2] != (models, size):
            raise DataError(
                f"forecast: {models} models, {len(self.y)} rows, {size} stressed rows, "
                f"but predictions of shape {self.clean.shape} and {self.stressed.shape}"
            )
        if len(self.family) != size or len(self.severity) != size:
            raise DataError(f"forecast: {size} stressed rows, but {len(self.family)} family names")
        if self.folds is not None and (self.test is None or len(self.folds) != models):
            raise DataError(f"forecast: predictions of folds of shape {self.folds.shape} for {models} models")
        if self.test is not None and (len(self.test) != models or self.test.shape[2] != self.clean.shape[2]):
            raise DataError(f"forecast: test predictions of shape {self.test.shape} for {models} models")

    @property
    def clean_right(self) -> NDArray[np.bool_]:
        """(M, N) whether the clean row was predicted right."""
        return np.asarray(self.clean.argmax(2) == self.y)

    @property
    def stressed_right(self) -> NDArray[np.bool_]:
        """(M, S) whether the stressed row was predicted right."""
        return np.asarray(self.stressed.argmax(2) == self.y[self.rows])

    def said(self, model: int, proba: Array) -> Array:
        """What the metric is given of a model's probabilities (R, C)."""
        decision = self.decisions[model] if self.decisions else None
        return proba if decision is None else decide.said(self.metric, proba, decide.apply(decision, proba))

    def values(self, y: NDArray[np.integer], proba: NDArray[np.floating]) -> Array:
        """(M, R) values of rows, whose mean is a model's score, of labels (R,) and probabilities (M, R, C)."""
        return np.stack([row_values(self.metric, y, self.said(*one)) for one in enumerate(proba)])

    @cached_property
    def clean_values(self) -> Array:
        """(M, N) `values` of the clean rows."""
        return self.values(self.y, self.clean)

    @cached_property
    def stressed_values(self) -> Array:
        """(M, S) `values` of the stressed rows."""
        return self.values(self.y[self.rows], self.stressed)

    def cells(self, mixture: Mixture) -> Array:
        """(M, K) score in every cell of the mixture; a cell without stressed rows takes its family's mean.

        Raises `DataError` if the mixture holds a family that no stressed row has.
        """
        clean, values = self.clean_values.mean(1), self.stressed_values
        columns = []
        for family, severity in mixture.cells:
            of_family = self.family == family
            exact = of_family & (self.severity == severity)
            if family != CLEAN and not of_family.any():
                what = f"forecast: no stressed rows of the family {family!r}"
                raise DataError(what, "stress the runs with this mixture")
            columns.append(clean if family == CLEAN else values[:, exact if exact.any() else of_family].mean(1))
        return np.stack(columns, axis=1)
