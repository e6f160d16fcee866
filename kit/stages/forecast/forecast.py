"""``kit forecast``: an expected score with its interval for every run and ensemble, and a look at the test."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from kit.base.events import Emit, Event
from kit.config import Config
from kit.judge.score import lookup
from kit.judge.shift.forecast import CONCENTRATION, believe, summarise
from kit.judge.shift.past import Explanation, explain
from kit.runs.results import unless_damaged
from kit.stages.forecast.entries import FEWEST, Gathered, gather
from kit.stages.forecast.testset import look_at_test
from kit.store.candidate import ForecastRecord
from kit.store.data import unlabelled_images
from kit.store.files import lock, sha256_json
from kit.store.layout import Layout
from kit.store.record import Digests

VERSION = 7  # 4: weights by class; 5: median error; 6: nested decisions; 7: votes agree, few test images are none
LEVEL = 0.9
SLACK = 0.005  # what a mixture cannot explain of a score, beside the noise of the test's size


def forecast(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> list[ForecastRecord]:
    """Forecast the score of every run and ensemble, write it beside them, show it, and return one record for each.

    Raises `StageError` where no run is trained and stressed.
    """
    with lock(layout.data_lock, "data/", shared=True):
        gathered = gather(layout, config)
        size = test_size(layout, config, gathered)
        made_from = lineage(gathered, size)
        known = [
            unless_damaged(partial(ForecastRecord.fresh, entry.file, made_from), emit) for entry in gathered.entries
        ]
        records = [record for record in known if record is not None]
        if force or len(records) < len(known):
            records = list(_records(gathered, size, made_from))
            files = [record.save(entry.file) for entry, record in zip(gathered.entries, records, strict=True)]
            emit(Event("wrote", "", {"paths": files}))
        sentences = look_at_test(layout, gathered, config.stress.seed, emit)
    # The mixture of corruptions that best explains the scores, where there are any.
    explained, scored = None, [number for number, entry in enumerate(gathered.entries) if entry.score is not None]
    if scored:
        scores = np.array([gathered.entries[number].score for number in scored], float)
        evidence = gathered.evidence()
        errors = np.sqrt(evidence.stressed_values[scored].var(1) / size) + SLACK * evidence.unit
        cells = evidence.cells(gathered.plan)[scored]
        explained = explain(cells, scores, errors, gathered.plan.shares, CONCENTRATION)
    tell(emit, records, gathered, explained, sentences, size)
    return records


def test_size(layout: Layout, config: Config, gathered: Gathered) -> int:
    """Images of the test: as configured, as given, or as many as there are rows."""
    test = unlabelled_images(layout, "test")
    return config.competition.test_size or len(gathered.ids if test is None or len(test) < FEWEST else test)


def lineage(gathered: Gathered, size: int) -> Digests:
    """What every forecast is made from."""
    named = [(entry.name, entry.kind) for entry in gathered.entries]
    about = {"forecast": str(VERSION), "entries": sha256_json([named, gathered.past]), "size": str(size)}
    return {**about, "metric": gathered.metric, **gathered.made_from}


def _records(gathered: Gathered, size: int, made_from: Digests) -> Iterator[ForecastRecord]:
    evidence, past = gathered.evidence(), gathered.past
    # Over all rows, and nested: the evidence is a draw of them, answered by rules that were fitted to them.
    scores: list[list[float]] = []
    for number, entry in enumerate(gathered.entries):
        one, whole = slice(number, number + 1), zip((entry.clean, entry.mixture), entry.nested, strict=True)
        values = (known.score if known else evidence.values(gathered.y, p[None], one).mean() for p, known in whole)
        scores.append(list(map(float, values)))
    belief = believe(evidence, gathered.plan).moved(np.array(scores)[:, 0] - evidence.clean_values.mean(1))
    for number, (entry, (clean, stressed)) in enumerate(zip(gathered.entries, scores, strict=True)):
        # What would have been said without its own score.
        others = {name: score for name, score in past.items() if name != entry.name}
        found = summarise(evidence, belief, size, others, LEVEL)[number]
        yield ForecastRecord(
            made_from=made_from,
            kind=entry.kind,
            metric=gathered.metric,
            level=LEVEL,
            clean=clean,
            stressed=stressed,
            score=entry.score,
            error=None if entry.score is None else entry.score - found.value,
            wrong_labels=(belief.noise.share, belief.noise.error),
            **{part: getattr(found, part) for part in ("name", "basis", "past", "cases", "value", "low", "high")},
        )


NAMED = 4  # corruptions that a sentence names


def tell(
    emit: Emit,
    records: Sequence[ForecastRecord],
    gathered: Gathered,
    explained: Explanation | None,
    about_test: Sequence[str],
    size: int,
) -> None:
    """The forecasts, what the scores say, and what the test looks like."""
    metric, sign = gathered.metric, -lookup(gathered.metric).sign
    ordered = sorted(records, key=lambda record: sign * record.value)
    emit(Event("table", f"forecast of the {metric}", {"header": HEADER, "rows": [_row(one) for one in ordered]}))
    known = f"{BASES[records[0].basis]}; intervals are for {size} images"
    # What is submitted next: the newest candidate, or before there is one the best run.
    ours = next((record for record in reversed(records) if record.kind == "ensemble"), ordered[0])
    about = [known, *_about_cases(ours), *_about_labels(ours, len(gathered.ids))]
    for sentence in [*about, *_about_past(records, gathered, explained), *about_test]:
        emit(Event("say", sentence))
    for reason in gathered.left_out:
        emit(Event("warn", f"no forecast: {reason}"))
    emit(expected(ours))


def expected(record: ForecastRecord) -> Event:
    """The one figure that matters of a forecast."""
    data = {"value": record.value, "low": record.low, "high": record.high}
    return Event("number", f"{short(record)}: expected {record.metric}, 90 % interval", data)


BASES = {
    "mixture": f"no predictions of test images, or of fewer than {FEWEST}: the test set is assumed to be a mixture of "
    "the [stress] corruptions",
    "test pictures": "from the test images: the confidence and agreement of the models tell how likely each "
    "prediction is right",
}
HEADER = ("", "clean", "stressed", "forecast", "90 % interval", "score", "error")


def short(record: ForecastRecord) -> str:
    """The name of a run, or the hash at the end of a candidate's, as the board shows it."""
    return record.name.rpartition("-")[2] if record.kind == "ensemble" else record.name


def _row(record: ForecastRecord) -> tuple[Any, ...]:
    interval = f"{record.low:.4f} - {record.high:.4f}"
    held = ("", "") if record.error is None else (record.score, f"{record.error:+.4f}")
    return (short(record), record.clean, record.stressed, record.value, interval, *held)


def _about_cases(ours: ForecastRecord) -> list[str]:
    """What is expected if the test is shifted and if it is not, where both may be."""
    if len(ours.cases) < 2:
        return []
    (weight, still, *_), (_, _, low, high) = ours.cases
    return [
        f"{short(ours)}: if the test is like the training set {still:.3f}, if it is not {low:.3f} to {high:.3f}; "
        f"the first is taken to be {weight:.0%} likely"
    ]


def _about_labels(ours: ForecastRecord, rows: int) -> list[str]:
    """What wrong labels among the held-out rows do to the scores out of fold."""
    share, error = ours.wrong_labels
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
