"""The table of metrics: what computes each name of `kit.config.competition.METRICS`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kit.config.competition import METRICS as MEASURES
from kit.config.competition import Measure
from kit.judge.metrics import counts, ranks, rows
from kit.judge.metrics.rows import Array

Rows = Callable[[Array, Array], Array]
"""``(truth, said) -> (N,)`` values, whose mean is the score."""
OfCounts = Callable[[counts.Counts], Array]
Whole = Callable[[Array, Array], tuple[float, Array]]
"""``(truth, said) ->`` the score, and what each row adds to it (N,)."""


def _as_they_are(y: Array, said: Array) -> tuple[Array, Array]:
    return y, said


@dataclass(frozen=True)
class Metric:
    """A metric: one of ``rows``, ``counts`` and ``whole``, or a ``function`` that is computed anew of rows drawn.

    ``reduce`` gives that function less to draw, or what it takes, from truth and prediction.
    """

    measure: Measure
    rows: Rows | None = None
    counts: OfCounts | None = None
    whole: Whole | None = None
    drawn: Callable[[Array, Array], float] | None = None
    reduce: Callable[[Array, Array], tuple[Array, Array]] = _as_they_are

    @property
    def sign(self) -> float:
        """What a gain is multiplied by, so that more is better."""
        return 1.0 if self.measure.greater_is_better else -1.0

    def function(self, y: Array, said: Array) -> float:
        """The score."""
        if self.rows is not None:
            return float(self.rows(y, said).mean())
        if self.counts is not None:
            return float(self.counts(counts.Counts.of(counts.of_predictions(y, [said])[0].sum(axis=0), y.ndim == 2)))
        if self.whole is not None:
            return self.whole(y, said)[0]
        assert self.drawn is not None
        return float(self.drawn(*self.reduce(y, said)))


def _curve(curve: ranks.Curve, average: str = "macro") -> Whole:
    return partial(ranks.over_classes, curve=curve, average=average)


# What shares its function with others. Any other metric has one of its own in a module of this package, whose name is
# that of the metric after the word for what it is given.
SHARED: dict[str, Any] = {
    "top3_accuracy": partial(rows.row_top, k=3),
    "top5_accuracy": partial(rows.row_top, k=5),
    "map3": partial(rows.row_map, k=3),
    "map5": partial(rows.row_map, k=5),
    "mae": lambda y, said: abs(said - y),
    "f1": lambda found: counts.f_values(found)[..., 1],
    "macro_f1": counts.f_mean,
    "weighted_f1": partial(counts.f_mean, average="weighted"),
    "micro_f1": partial(counts.f_mean, average="micro"),
    "macro_f2": partial(counts.f_mean, beta=2.0),
    "micro_f2": partial(counts.f_mean, average="micro", beta=2.0),
    "lwk": partial(counts.kappa, power=1),
    "qwk": partial(counts.kappa, power=2),
    "auc": _curve(ranks.auc_curve),
    "weighted_auc": _curve(ranks.auc_curve, "weighted"),
    "partial_auc": _curve(ranks.partial_curve),
    "average_precision": _curve(ranks.ap_curve),
    "micro_average_precision": _curve(ranks.ap_curve, "micro"),
    "probabilistic_f1": _curve(ranks.pf_curve),
}
TUNED: dict[str, Any] = {
    "expected_cost": lambda table: {"rows": lambda y, said: np.array(table, float)[y, rows.classes_of(said)]},
    "weighted_nll": lambda table: {"whole": partial(rows.all_weighted_nll, weights=table[0])},
}
FIELDS = {"rows": ("rows", "row"), "counts": ("counts", "count"), "all": ("whole", "all")}


def metric_of(name: str, measure: Measure) -> Metric:
    """The metric of that name, with the function that computes what ``measure`` says of it."""
    if measure.own is not None:
        reduce = rows.answers_of if measure.needs == "labels" else _as_they_are
        return Metric(measure, drawn=measure.own, reduce=reduce)
    if measure.table:
        return Metric(measure, **TUNED[measure.source](measure.table))
    field, word = FIELDS[measure.of]
    own = [vars(module).get(f"{word}_{name}") for module in (rows, counts, ranks)]
    return Metric(measure, **{field: next(filter(None, [SHARED.get(name), *own]))})


ECE = Metric(MEASURES["ece"], drawn=ranks.ece_of, reduce=ranks.ece_rows)
METRICS = {name: ECE if name == "ece" else metric_of(name, measure) for name, measure in MEASURES.items()}
