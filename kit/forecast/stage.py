"""``kit forecast``: an expected score with its interval for every run and ensemble, and a look at the test."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.config import Config
from kit.data import load_test_images
from kit.errors import StageError
from kit.files import is_fresh, read_json, sha256_json, write_json
from kit.forecast.gather import Entry, Gathered, gather
from kit.forecast.show import tell
from kit.forecast.testset import look_at_test
from kit.layout import Layout
from kit.records import Emit, Event
from kit.shift.forecast import Forecast, believe, summarise
from kit.shift.past import Explanation, explain
from kit.shift.signals import agreement, atc, difference_of_confidences

VERSION = 1
LEVEL = 0.9
METRIC = "accuracy"
CONCENTRATION = 3.0  # of the mixture that past scores are explained by, as `kit.shift.forecast` has it
SLACK = 0.005  # what a mixture cannot explain of a score, beside the noise of the test's size


def forecast(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> list[dict[str, Any]]:
    """Forecast the accuracy of every run and ensemble, write it beside them, and show it.

    Returns
    -------
    list of dict
        One a run or ensemble, as in ``forecast.json``: ``value``, ``low``, ``high`` (90 %), ``clean``, ``stressed``,
        ``basis``, ``past`` (scores it rests on, never its own), ``score`` and ``error`` where it has one, and
        ``signals`` where it predicted the test.

    Raises
    ------
    StageError
        Where the competition's metric is another, or no run is trained and stressed.
    """
    if config.competition.metric != METRIC:
        raise StageError(
            f"forecasts are of accuracy, this competition is scored by {config.competition.metric}",
            "kit stress shows the score under corruptions for any metric",
        )
    gathered = gather(layout, config)
    size = _test_size(layout, config, gathered)
    key = _key(gathered, size)
    files = [entry.file for entry in gathered.entries]
    if force or not all(is_fresh(file, key, []) for file in files):
        for entry, record in zip(gathered.entries, _records(gathered, size), strict=True):
            write_json(entry.file, {"key": key, **record})
        emit(Event("wrote", "", {"paths": files}))
    records: list[dict[str, Any]] = [read_json(file) for file in files]
    sentences = look_at_test(layout, gathered, config.stress.seed, emit)
    tell(emit, records, gathered, _explained(gathered, size), sentences, size)
    return records


def _test_size(layout: Layout, config: Config, gathered: Gathered) -> int:
    """Images of the test: as configured, as given, or as many as there are rows."""
    test = load_test_images(layout)
    return config.competition.test_size or (len(test) if test is not None else len(gathered.ids))


def _key(gathered: Gathered, size: int) -> str:
    named = [(entry.name, entry.kind) for entry in gathered.entries]
    parts = {"version": VERSION, "files": gathered.hashes, "entries": named, "past": gathered.past, "size": size}
    return sha256_json(parts)


def _records(gathered: Gathered, size: int) -> list[dict[str, Any]]:
    evidence = gathered.evidence()
    belief, past = believe(evidence, gathered.plan.mixture), gathered.past
    known = summarise(evidence, belief, size, past, LEVEL)
    records = []
    for number, entry in enumerate(gathered.entries):
        found = known[number]
        if entry.name in past:  # what would have been said without its own score
            others = {name: score for name, score in past.items() if name != entry.name}
            found = summarise(evidence, belief, size, others, LEVEL)[number]
        records.append(_record(gathered, entry, found))
    return records


def _record(gathered: Gathered, entry: Entry, found: Forecast) -> dict[str, Any]:
    record = {**found.to_json(), "kind": entry.kind, "level": LEVEL, "metric": METRIC}
    # Over all rows: the forecast rests on a draw of them, on the mixture and on single corruptions.
    clean, stressed = (float((p.argmax(1) == gathered.y).mean()) for p in (entry.clean, entry.mixture))
    moved = {key: float(np.clip(record[key] + clean - found.clean, 0, 1)) for key in ("value", "low", "high")}
    record |= {"clean": clean, "stressed": stressed, **moved}
    if entry.score is not None:
        record |= {"score": entry.score, "error": entry.score - record["value"]}
    if entry.test is not None:
        record["signals"] = _signals(gathered, entry)
    return record


def _signals(gathered: Gathered, entry: Entry) -> dict[str, float]:
    """The plain estimates of the literature, for comparison."""
    assert entry.test is not None
    found = {
        "thresholded confidence": atc(entry.clean, gathered.y, entry.test),
        "difference of confidences": difference_of_confidences(entry.clean, gathered.y, entry.test),
    }
    if entry.folds is not None and len(entry.folds) > 1:
        found["agreement of folds"] = agreement(entry.folds.argmax(2))
    return found


def _explained(gathered: Gathered, size: int) -> Explanation | None:
    """The mixture of corruptions that best explains the scores, where there are any."""
    scored = [entry for entry in gathered.entries if entry.score is not None]
    if not scored:
        return None
    evidence, mixture = gathered.evidence(), gathered.plan.mixture
    places = [evidence.names.index(entry.name) for entry in scored]
    scores = np.array([entry.score for entry in scored], float)
    share = np.clip(scores, 0.5 / size, 1 - 0.5 / size)
    errors = np.sqrt(share * (1 - share) / size) + SLACK
    return explain(evidence.cells(mixture)[places], scores, errors, mixture.shares, CONCENTRATION)
