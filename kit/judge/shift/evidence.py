"""What a forecast is made of: held-out rows, clean and under stress, and the test where it is given."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kit.base.tasks import ONE_CLASS, Task
from kit.errors import DataError
from kit.images.corrupt.plan import CLEAN, Mixture
from kit.judge import decide
from kit.judge.metrics import Array
from kit.judge.score import lookup, row_values
from kit.judge.seen import seen
from kit.runtime.decide import Decision

VOTES = 5  # that stand for the shares of a picture


@dataclass(frozen=True, eq=False)
class Evidence:
    """Predictions of M models (an ensemble is one more); all probabilities, all out of fold but the test's."""

    names: tuple[str, ...]
    y: Array  # (N, ...) the truth of the held-out rows, see `kit.base.tasks`
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
    task: Task = ONE_CLASS
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        models, size, classes = len(self.names), len(self.rows), self.clean.shape[2:]
        given = tuple(one.shape for one in (self.clean[..., 0], self.stressed, self.family, self.severity))
        if given != ((models, len(self.y)), (models, size, *classes), (size,), (size,)):
            what = f"forecast: {models} models, {len(self.y)} rows, {size} stressed rows"
            raise DataError(f"{what}, but clean and stressed predictions, families and severities of {given}")
        for told in (self.test, self.folds):
            if told is not None and (self.test is None or len(told) != models or told.shape[-1:] != classes):
                raise DataError(f"forecast: test predictions of shape {told.shape} for {models} models")

    def questions(self, proba: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probabilities (M, Q, C') of Q questions that have one class each, from those (M, R, C) of pictures.

        Each of several labels is a question, and so is each of `VOTES` votes; a number is asked for its bin.
        """
        if self.task.several:
            return np.asarray(np.stack([1 - proba, proba], axis=-1).reshape(len(proba), -1, 2))
        return np.asarray(proba.repeat(VOTES, axis=1)) if self.task.kind == "shares" else proba

    def answers(self, y: Array) -> NDArray[np.integer]:
        """(Q,) the classes that are right, of the truth (R, ...)."""
        numbers = self.task.kind == "numbers"
        return np.asarray(self.task.strata(y, self.classes) if numbers else self.task.flat(y, self.classes, VOTES).y)

    def truth(self, answers: NDArray[np.integer]) -> Array:
        """(R, ...) the truth of which these (Q,) are the `answers`."""
        classes = self.clean.shape[2]
        if self.task.kind == "numbers":
            return np.asarray(np.array(self.classes, float)[answers])
        if self.task.kind == "shares":
            return np.asarray(np.eye(classes)[answers].reshape(-1, VOTES, classes).mean(1))
        return answers.reshape(-1, classes) if self.task.several else answers

    def values(self, y: Array, proba: NDArray[np.floating], models: slice = slice(None)) -> Array:
        """(M, R) values of rows, whose mean is a model's score, of the truth (R, ...) and probabilities (M, R, C)."""
        every, rules = seen(self.metric, self.task, y, self.classes), (self.decisions or (None,) * len(self.names))
        said = (
            every.of(one) if rule is None else every.said(one, decide.apply(rule, one))
            for rule, one in zip(rules[models], proba, strict=True)
        )
        return np.stack([row_values(self.metric, every.y, one).reshape(len(y), -1).mean(1) for one in said])

    @cached_property
    def unit(self) -> float:
        """What scores are measured in: 1, or the spread of a row's value where they have no scale of their own."""
        scaled = self.task.kind == "numbers" or lookup(self.metric).measure.of == "own"
        return float(self.clean_values.std(1).mean()) or 1.0 if scaled else 1.0

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
