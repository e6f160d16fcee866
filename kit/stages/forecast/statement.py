"""A forecast in tables and sentences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kit.base.events import Emit, Event
from kit.judge.score import lookup
from kit.judge.shift.past import Explanation
from kit.stages.forecast.entries import Gathered
from kit.store.candidate import ForecastRecord

NAMED = 4  # corruptions that a sentence names


def tell(
    emit: Emit,
    records: Sequence[ForecastRecord],
    gathered: Gathered,
    explained: Explanation | None,
    about_test: Sequence[str],
    size: int,
) -> None:
    """The forecasts, the signals of the test images, what the scores say, and what the test looks like."""
    metric, sign = gathered.metric, -lookup(gathered.metric).sign
    ordered = sorted(records, key=lambda record: sign * record.value)
    emit(Event("table", f"forecast of the {metric}", {"header": HEADER, "rows": [_row(one) for one in ordered]}))
    with_signals = [one for one in ordered if one.signals]
    if with_signals:
        names = tuple(dict.fromkeys(name for one in with_signals for name in one.signals))
        rows = [(short(one), *(one.signals.get(name, "") for name in names)) for one in with_signals]
        emit(Event("table", "estimates from the test images alone", {"header": ("", *names), "rows": rows}))
    known = f"{BASES[records[0].basis]}; intervals are for {size} images"
    about = [known, *_about_cases(ordered[0]), *_about_labels(ordered[0], len(gathered.ids))]
    for sentence in [*about, *_about_past(records, gathered, explained), *about_test]:
        emit(Event("say", sentence))
    for reason in gathered.left_out:
        emit(Event("warn", f"no forecast: {reason}"))
    best = ordered[0]
    data = {"value": best.value, "low": best.low, "high": best.high}
    emit(Event("number", f"{short(best)}: expected {metric}, 90 % interval", data))


BASES = {
    "mixture": "no predictions of test images: the test set is assumed to be a mixture of the [stress] corruptions",
    "test pictures": "from the test images: the confidence and agreement of the models tell how likely each "
    "prediction is right",
}
HEADER = ("", "clean", "stressed", "forecast", "90 % interval", "score", "error")


def short(record: ForecastRecord) -> str:
    """The name of a run, or the hash at the end of a candidate's, as the board shows it."""
    return record.name.rpartition("-")[2] if record.kind == "ensemble" else record.name


def _row(record: ForecastRecord) -> tuple[Any, ...]:
    interval = f"{record.low:.4f} - {record.high:.4f}"
    score = "" if record.score is None else record.score
    error = "" if record.error is None else f"{record.error:+.4f}"
    return (short(record), record.clean, record.stressed, record.value, interval, score, error)


def _about_cases(best: ForecastRecord) -> list[str]:
    """What is expected if the test is shifted and if it is not, where both may be."""
    if len(best.cases) < 2:
        return []
    (weight, still, *_), (_, _, low, high) = best.cases
    return [
        f"{short(best)}: if the test is like the training set {still:.3f}, if it is not {low:.3f} to {high:.3f}; "
        f"the first is taken to be {weight:.0%} likely"
    ]


def _about_labels(best: ForecastRecord, rows: int) -> list[str]:
    """What wrong labels among the held-out rows do to the scores out of fold."""
    share, error = best.wrong_labels
    if round(share * rows) < 1:
        return []
    return [
        f"labels: {share:.1%} +- {error:.1%} of the held-out rows seem to be labelled wrongly ({share * rows:.0f} of "
        f"{rows}); clean and stressed score are by the labels given, forecasts by right ones"
    ]


def _about_past(records: Sequence[ForecastRecord], gathered: Gathered, explained: Explanation | None) -> list[str]:
    if explained is None:
        return ["no scores yet: each scored submission improves the forecasts of the others"]
    errors = [abs(record.error) for record in records if record.error is not None]
    texts = [f"{len(errors)} scores, each forecast without its own score: mean error {np.mean(errors):.4f}"]
    families: dict[str, float] = {}
    for (family, _), weight in zip(gathered.plan.cells, explained.weights, strict=True):
        families[family] = families.get(family, 0.0) + weight
    order = sorted(families, key=lambda family: -families[family])[:NAMED]
    texts.append("the scores are best explained by " + ", ".join(f"{families[name]:.0%} {name}" for name in order))
    if explained.left_out:
        off = float(np.abs(explained.left_out).mean())
        texts[-1] += f"; mean error with each score left out in turn: {off:.4f}"
    return [*texts, *([f"do not rely on it: {explained.warning}"] if explained.warning else [])]
