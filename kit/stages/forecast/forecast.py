"""``kit forecast``: an expected score with its interval for every run and ensemble, and a look at the test."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from kit.base.events import Emit, Event
from kit.config import Config
from kit.judge.score import score
from kit.judge.shift.forecast import ACCURACY, CONCENTRATION, believe, bounds_of, summarise
from kit.judge.shift.outputs import agreement, atc, difference_of_confidences
from kit.judge.shift.past import explain
from kit.runs.results import unless_damaged
from kit.stages.forecast.entries import Entry, Gathered, gather
from kit.stages.forecast.statement import tell
from kit.stages.forecast.testset import look_at_test
from kit.store.candidate import ForecastRecord
from kit.store.data import load_index, load_test_images
from kit.store.files import sha256_json
from kit.store.layout import Layout
from kit.store.locks import lock
from kit.store.record import Digests

VERSION = 4  # 2: wrong labels, the mean of folds, no shift; 3: the metric; 4: weights by class, a jackknife
LEVEL = 0.9
SLACK = 0.005  # what a mixture cannot explain of a score, beside the noise of the test's size


def forecast(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> list[ForecastRecord]:
    """Forecast the score of every run and ensemble, write it beside them, show it, and return one record for each.

    Raises `StageError` where no run is trained and stressed.
    """
    with lock(layout.data_lock, "data/", shared=True):
        load_index(layout).classes_only("forecasts")
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
        errors = np.sqrt(evidence.stressed_values[scored].var(1) / size) + SLACK
        cells = evidence.cells(gathered.plan)[scored]
        explained = explain(cells, scores, errors, gathered.plan.shares, CONCENTRATION)
    tell(emit, records, gathered, explained, sentences, size)
    return records


def test_size(layout: Layout, config: Config, gathered: Gathered) -> int:
    """Images of the test: as configured, as given, or as many as there are rows."""
    test = load_test_images(layout)
    return config.competition.test_size or (len(test) if test is not None else len(gathered.ids))


def lineage(gathered: Gathered, size: int) -> Digests:
    """What every forecast is made from."""
    named = [(entry.name, entry.kind) for entry in gathered.entries]
    about = {"forecast": str(VERSION), "entries": sha256_json([named, gathered.past]), "size": str(size)}
    return {**about, "metric": gathered.metric, **gathered.made_from}


def _records(gathered: Gathered, size: int, made_from: Digests) -> Iterator[ForecastRecord]:
    evidence = gathered.evidence()
    belief, past, bounds = believe(evidence, gathered.plan), gathered.past, bounds_of(gathered.metric)
    for number, entry in enumerate(gathered.entries):
        # What would have been said without its own score.
        others = {name: score for name, score in past.items() if name != entry.name}
        found = summarise(evidence, belief, size, others, LEVEL)[number]
        # Over all rows: the forecast rests on a draw of them, on the mixture and on single corruptions.
        said = (evidence.said(number, proba) for proba in (entry.clean, entry.mixture))
        clean, stressed = (score(gathered.metric, gathered.y, each) for each in said)
        moved = np.array([found.value, found.low, found.high]) + clean - found.clean
        value, low, high = moved.clip(*bounds).tolist()
        yield ForecastRecord(
            made_from=made_from,
            kind=entry.kind,
            metric=gathered.metric,
            value=value,
            low=low,
            high=high,
            level=LEVEL,
            clean=clean,
            stressed=stressed,
            score=entry.score,
            error=None if entry.score is None else entry.score - value,
            signals=_signals(gathered, entry),
            wrong_labels=(belief.noise.share, belief.noise.error),
            **{part: getattr(found, part) for part in ("name", "basis", "past", "cases")},
        )


def _signals(gathered: Gathered, entry: Entry) -> dict[str, float]:
    """The plain estimates of the accuracy in the literature, for comparison, where the test was predicted."""
    if entry.test is None or gathered.metric != ACCURACY:
        return {}
    found = {
        "thresholded confidence": atc(entry.clean, gathered.y, entry.test),
        "difference of confidences": difference_of_confidences(entry.clean, gathered.y, entry.test),
    }
    if entry.folds is not None and len(entry.folds) > 1:
        found["agreement of folds"] = agreement(entry.folds.argmax(2))
    return found
