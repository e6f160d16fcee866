"""``kit export``: what is on the disk, told to a tracker of experiments that a team uses already.

The core knows no tracker: a row here names a module, and its package comes with an extra of the same name.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name

from pydantic import JsonValue

from kit.base.events import Emit, Event, silent
from kit.base.text import nearest
from kit.config import Config
from kit.errors import ConfigError, KitError
from kit.judge.metrics.table import METRICS
from kit.judge.seen import seen_of
from kit.runs.results import Epoch, RunRecord, histories
from kit.runs.stressed import StressedRun
from kit.store.candidate import Ensemble, ForecastRecord
from kit.store.data import Index, load_index
from kit.store.files import lock, sha256_file
from kit.store.layout import Layout, RunPaths
from kit.store.ledger import Submission, attempts, load_for_tables
from kit.store.predictions import load_predictions


@dataclass(frozen=True)
class Tracked:
    """A run or a candidate."""

    key: str  # name of its folder; the same for the same configuration, data and folds, whoever trained it
    name: str
    kind: str  # `run` or `ensemble`
    params: dict[str, str]  # what was chosen before training or blending
    scores: dict[str, float]  # the newest value of every number about the whole
    # By fold: the numbers of every epoch, counted through all stages.
    curves: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)  # hashes and versions
    files: list[tuple[Path, str]] = field(default_factory=list)  # small files, and the folder that each belongs to


def gather(layout: Layout, emit: Emit = silent) -> list[Tracked]:
    """Every run under ``runs/``, earlier versions too, and every candidate, oldest first; weights are left out."""
    try:
        index = load_index(layout)
    except KitError:  # a clone without data still has its runs
        index = None
    runs = [RunPaths(path.parent) for path in sorted(layout.runs.glob("*/run.json"))]
    return [*(_run(paths, index) for paths in runs), *map(_candidate, load_for_tables(layout, emit))]


def _run(paths: RunPaths, index: Index | None) -> Tracked:
    record = RunRecord.load(paths.manifest, f"kit train {paths.root.name.rpartition('-')[0]}")
    folds = histories(paths, record)
    stressed: dict[str, float] = {}
    if paths.stress_manifest.exists():
        found = StressedRun.load(paths.stress_manifest)
        stressed = {f"{name}_{found.metric}": line.score for name, line in found.scores}
    tables = [(paths.fold(fold).history, f"fold-{fold}") for fold in folds]
    whole = [paths.manifest, paths.oof, paths.curves, paths.confusion, paths.stress_table, paths.stress_picture]
    return Tracked(
        key=paths.root.name,
        name=paths.root.name.rpartition("-")[0],
        kind="run",
        params=dict(flat(record.config.model_dump(mode="json"))),
        scores={**_oof(paths, index), **stressed, **_forecast(paths.forecast)},
        curves={fold: list(map(_numbers, epochs)) for fold, epochs in folds.items()},
        tags={**record.made_from, **record.files, **{f"versions.{k}": v for k, v in record.versions.items()}},
        files=[*((path, "") for path in whole if path.exists()), *tables],
    )


def flat(value: Mapping[str, JsonValue], before: str = "") -> Iterator[tuple[str, str]]:
    """Tables within tables as one, with dots in the names; lists as JSON.

    >>> dict(flat({"head": {"units": [8]}, "seed": 0}))
    {'head.units': '[8]', 'seed': '0'}
    """
    for key, inside in value.items():
        if isinstance(inside, dict):
            yield from flat(inside, f"{before}{key}.")
        else:
            yield f"{before}{key}", inside if isinstance(inside, str) else json.dumps(inside)


def _numbers(epoch: Epoch) -> dict[str, float]:
    """What was measured and is finite."""
    return {name: cell for name, cell in epoch.columns().items() if isinstance(cell, float) and math.isfinite(cell)}


def _oof(paths: RunPaths, index: Index | None) -> dict[str, float]:
    """Every metric out of fold, where the labels of these rows are here."""
    if index is None or not paths.oof.exists():
        return {}
    oof = load_predictions(paths.oof)
    if oof.classes != index.classes or not set(oof.ids.tolist()) <= set(index.ids):
        return {}
    found = {}
    for name, metric in METRICS.items():
        if not {"classes", index.task.kind} & {*metric.measure.tasks}:
            continue
        every = seen_of(name, index, oof.ids)
        with suppress(KitError):  # a metric that these classes do not have
            found[f"oof_{name}"] = float(metric.function(every.y, every.of(oof.first)))
    return found


def _forecast(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    found = ForecastRecord.load(path)
    return {"forecast": found.value, "forecast_low": found.low, "forecast_high": found.high}


def _candidate(submission: Submission) -> Tracked:
    record, paths = Ensemble.load(submission.paths.ensemble), submission.paths
    blend = record.blend
    params = {"metric": record.metric, "method": blend.method, "fit_on": record.fit_on}
    params |= {f"weight.{name}": f"{w:.4f}" for name, w in zip(blend.members, blend.weights, strict=True)}
    scores: dict[str, float] = {}
    for name, figure in (("cv", record.cv), ("stressed", record.stressed)):
        if figure is not None:
            scores |= {name: figure.score, f"{name}_low": figure.low, f"{name}_high": figure.high}
    known = [attempt.score for attempt in attempts([submission]) if attempt.score is not None]
    scores |= {"score": known[-1]} if known else {}
    files = [paths.ensemble, paths.card, paths.proof, *sorted(paths.root.glob("*.svg"))]
    tags = {"key": record.key} | ({"bundle": sha256_file(paths.bundle)} if paths.bundle.exists() else {})
    return Tracked(
        key=submission.name,
        name=f"ensemble-{submission.name.rpartition('-')[2]}",
        kind="ensemble",
        params=params,
        scores={**scores, **_forecast(paths.forecast)},
        tags=tags,
        files=[(path, "") for path in files if path.exists()],
    )


# name: function that sends, (found, experiment, to, home) -> (where it went, how many were new or had news)
TRACKERS = {"mlflow": "kit.stages.export.mlflow:send"}


def export(layout: Layout, config: Config, emit: Emit, tracker: str, to: str = "") -> int:
    """Send every run and candidate to a tracker, a key of `TRACKERS`; what it has already is not sent twice.

    ``to`` is its address, empty = the one that its own module finds. Returns how many runs and candidates were new or
    had news. Raises `ConfigError` where there is no such tracker, or its package is not installed, `StageError` where
    the data are being made, and `PlatformError` where the tracker refused.
    """
    if tracker not in TRACKERS:
        raise ConfigError(f"no tracker {tracker!r}", nearest(tracker, TRACKERS))
    send: Callable[[Sequence[Tracked], str, str, Path], tuple[str, list[bool]]] = resolve_name(TRACKERS[tracker])
    with lock(layout.data_lock, "data/", shared=True):
        found = gather(layout, emit)
    where, news = send(found, config.competition.name, to, layout.root)
    rows = []
    for one, new in zip(found, news, strict=True):
        epochs = sum(map(len, one.curves.values()))
        rows.append((one.name, len(one.curves), epochs, len(one.scores), len(one.files), "sent" if new else "known"))
    emit(Event("table", "", {"header": ("exported", "folds", "epochs", "scores", "files", ""), "rows": rows}))
    emit(Event("say", f"{tracker}: {sum(news)} of {len(found)} are new or changed, at {where}"))
    return sum(news)
