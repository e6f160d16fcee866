"""Clean against stressed, and what the leaderboard is expected to say: the files of the stages that made them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kit.files import read_csv
from kit.report.facts import Facts, Run
from kit.report.parts import Cell, Row
from kit.report.section import Section, count, number, percent
from kit.report.strips import Dot, Strip, strip
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
    forecast_ = facts.read(ForecastRecord, facts.candidate.paths.forecast)
    if forecast_:
        found.append((f"forecast, {percent(forecast_.level)}", forecast_.value, forecast_.low, forecast_.high))
    return found


@dataclass(frozen=True)
class Losses:
    """What the section draws: scores of the runs, and a row of losses by severity for each kind of damage."""

    scores: Strip
    metric: str
    degrees: list[int]
    rows: list[Row]


def stress(facts: Facts) -> Section:
    """Scores of every run clean and under the mixture, and what each family of corruptions costs."""
    found = {run.record.run: facts.attempt(partial(_stressed, run)) for run in facts.runs}
    scores = {name: pair[0] for name, pair in found.items() if pair}
    if not scores:
        return Section("stress", "Stress", run="kit stress")
    families, degrees, drops = _grid([line for pair in found.values() if pair for line in pair[1]])
    rows = [_row(name, drops[n]) for n, name in _ordered(families, drops)]
    metric = facts.config.competition.metric
    return Section(
        "stress",
        "Stress",
        _title(scores, families, drops),
        "The same held-out images as a worse microscope would give them, networks unchanged. The table has the mean "
        f"loss of {metric} in hundredths, by kind of damage and its severity.",
        Losses(strip(_dots(facts, scores)), metric, degrees, rows),
    )


def _stressed(run: Run) -> tuple[StressScores, list[dict[str, str]]] | None:
    """The scores of a run and the lines of its table, where it was stressed."""
    paths, again = run.paths, f"kit stress {run.record.run} --force"
    if not paths.stress_manifest.exists():
        return None
    record = StressedRun.load(paths.stress_manifest, again)
    record.check(paths.root, again, paths.stress_table.name)
    return record.scores, read_csv(paths.stress_table)


def _grid(lines: list[dict[str, str]]) -> tuple[list[str], list[int], Any]:
    """Families, severities, and the mean drop over the runs, (F, S)."""
    found: dict[tuple[str, int], list[float]] = {}
    for line in lines:
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


def _row(name: str, drops: Any) -> Row:
    def cell(drop: float) -> Cell:
        text = f"{100 * drop:.0f}".replace("-", "−") if abs(drop) >= 0.005 else "·"
        return Cell(text, "less" if drop > 0 else "more", round(min(abs(drop) * 130, 60)))

    return Row(name.replace("-", " "), list(map(cell, drops.tolist())))


def forecast(facts: Facts) -> Section:
    """The expected score of every run and candidate with its interval, and the score where there is one."""
    paths = [*(run.paths.forecast for run in facts.runs), *(one.forecast for one in facts.candidates)]
    found = [facts.read(ForecastRecord, path) for path in paths]
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
        strip(_forecast_dots(records)),
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
