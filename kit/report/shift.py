"""Clean against stressed, and what the leaderboard is expected to say: the files of the stages that made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kit.files import read_csv
from kit.layout import RunPaths
from kit.report.facts import Facts, read
from kit.report.section import Section, count, number, percent
from kit.report.strips import Dot, strip
from kit.shift.stressed import StressedRun, StressScores
from kit.store.candidate import ForecastRecord

WHOLE = ("clean", "mixture")  # lines of a run's table that are no family of corruptions


def expectations(facts: Facts) -> list[tuple[str, float, float | None, float | None]]:
    """Scores of the newest candidate to expect beside cross-validation: name, value, low, high."""
    if facts.candidate is None or facts.ensemble is None:
        return []
    found: list[tuple[str, float, float | None, float | None]] = []
    stressed = facts.ensemble.stressed
    if stressed:
        found.append(("under stress", stressed.score, stressed.low, stressed.high))
    forecast_ = read(ForecastRecord, facts.candidate.paths.forecast)
    if forecast_:
        found.append((f"forecast, {percent(forecast_.level)}", forecast_.value, forecast_.low, forecast_.high))
    return found


def stress(facts: Facts) -> Section:
    """Scores of every run clean and under the mixture, and what each family of corruptions costs."""
    found = {name: read(StressedRun, paths.stress_manifest) for name, paths in facts.runs.items()}
    scores = {name.rpartition("-")[0]: run.scores for name, run in found.items() if run is not None}
    if not scores:
        return Section("stress", "Stress", run="kit stress")
    families, degrees, drops = _grid([facts.runs[name] for name, run in found.items() if run is not None])
    metric = facts.config.competition.metric
    return Section(
        "stress",
        "Stress",
        _title(scores, families, drops),
        "The same held-out images as a worse microscope would give them, networks unchanged. The table has the mean "
        f"loss of {metric} in hundredths, by kind of damage and its severity.",
        {
            "scores": strip(_dots(facts, scores)),
            "metric": metric,
            "degrees": degrees,
            "rows": [_row(name, drops[n]) for n, name in _ordered(families, drops)],
        },
    )


def _grid(runs: Iterable[RunPaths]) -> tuple[list[str], list[int], Any]:
    """Families, severities, and the mean drop over the runs, (F, S)."""
    found: dict[tuple[str, int], list[float]] = {}
    for paths in runs:
        for line in read_csv(paths.stress_table):
            if line["family"] not in WHOLE:
                found.setdefault((line["family"], int(float(line["severity"]))), []).append(float(line["drop"]))
    families = list(dict.fromkeys(family for family, _ in found))
    degrees = sorted({degree for _, degree in found})
    drops = np.array([[np.mean(found.get((family, degree), [0.0])) for degree in degrees] for family in families])
    return families, degrees, drops.reshape(len(families), len(degrees))


def _ordered(families: list[str], drops: Any) -> list[tuple[int, str]]:
    order = np.argsort(-drops.mean(axis=1), kind="stable").tolist()
    return [(n, families[n]) for n in order]


def _title(scores: dict[str, StressScores], families: list[str], drops: Any) -> str:
    lost = float(np.mean([found.drop.score for found in scores.values()]))
    if not families:
        return f"Damaged images cost {number(lost, 3)}"
    worst = _ordered(families, drops)[0][1].replace("-", " ")
    return f"Damaged images cost {number(lost, 3)}, {worst} the most"


def _dots(facts: Facts, scores: dict[str, StressScores]) -> list[Dot]:
    lines = {name: (found.clean, found.stressed, "") for name, found in scores.items()}
    if facts.ensemble is not None and facts.ensemble.stressed is not None:
        lines["blend"] = (facts.ensemble.cv, facts.ensemble.stressed, "accent")
    return [Dot(name, a.score, kind=kind, mate=b.score) for name, (a, b, kind) in lines.items()]


def _row(name: str, drops: Any) -> dict[str, Any]:
    cells = [
        {
            "text": f"{100 * drop:.0f}".replace("-", "−") if abs(drop) >= 0.005 else "·",
            "kind": "less" if drop > 0 else "more",
            "tint": round(min(abs(float(drop)) * 130, 60)),
        }
        for drop in drops
    ]
    return {"name": name.replace("-", " "), "cells": cells}


def forecast(facts: Facts) -> Section:
    """The expected score of every run and candidate with its interval, and the score where there is one."""
    found = [read(ForecastRecord, paths.forecast) for paths in facts.runs.values()]
    found += [read(ForecastRecord, paths.forecast) for paths in facts.candidates]
    records = sorted((record for record in found if record is not None), key=lambda record: -record.value)
    if not records:
        return Section("forecast", "Forecast", run="kit forecast")
    scored = [record for record in records if record.score is not None]
    level = percent(records[0].level)
    return Section(
        "forecast",
        "Forecast",
        _forecast_title(records, scored),
        f"What the platform is expected to say, from {_basis(records[0])}. Lines are {level} intervals; orange is the "
        "score, where there is one. A forecast never rests on its own score.",
        {"strip": strip(_forecast_dots(records))},
    )


def _basis(record: ForecastRecord) -> str:
    if record.basis == "mixture":
        return "stressed predictions: the test is taken for some mixture of the corruptions"
    return "the predictions of the test images and how right such predictions are"


def _forecast_title(records: list[ForecastRecord], scored: list[ForecastRecord]) -> str:
    best = records[0]
    if not scored:
        return f"{number(best.value, 3)} is to be expected of {_name(best)}"
    inside = sum(record.low <= (record.score or 0.0) <= record.high for record in scored)
    if inside == len(scored):
        return "Every score so far fell into the interval that was forecast"
    return f"{inside} of {count(len(scored), 'score')} fell into the interval that was forecast"


def _name(record: ForecastRecord) -> str:
    return f"ensemble {record.name.rpartition('-')[2]}" if record.kind == "ensemble" else record.name


def _forecast_dots(records: list[ForecastRecord]) -> list[Dot]:
    dots = []
    for record in records:
        dots.append(Dot(_name(record), record.value, record.low, record.high, kind="accent"))
        if record.score is not None:
            dots.append(Dot(_name(record), record.score, note="score", kind="warn"))
    return dots
