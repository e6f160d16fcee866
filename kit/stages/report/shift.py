"""Clean against stressed, and what the leaderboard is expected to say: the files of the stages that made them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kit.runs.stressed import StressedRun, StressScores
from kit.stages.report.inputs import Facts, Run
from kit.stages.report.parts import Cell, Row
from kit.stages.report.section import Section, count, number, percent
from kit.stages.report.strips import Dot, Strip, strip
from kit.store.candidate import ForecastRecord
from kit.store.files import read_csv

WHOLE = ("clean", "mixture")  # lines of a run's table that are no family of corruptions


def expectations(facts: Facts) -> list[Dot]:
    """Scores of the newest candidate to expect beside cross-validation."""
    if facts.candidate is None or facts.ensemble is None:
        return []
    stressed, found = facts.ensemble.stressed, _forecast(facts, facts.candidate.paths.forecast)
    dots = [Dot("under stress", stressed.score, stressed.low, stressed.high)] if stressed else []
    if found:
        dots.append(Dot(f"forecast, {percent(found.level)}", found.value, found.low, found.high))
    return dots


@dataclass(frozen=True)
class Losses:
    """What the section draws: scores of the runs, and a row of losses by severity for each kind of damage."""

    scores: Strip
    metric: str
    degrees: list[int]
    rows: list[Row]


def stress(facts: Facts) -> Section:
    """Scores of every run clean and under the mixture, and what each family of corruptions costs."""
    read = {
        run.record.run: facts.attempt(partial(_stressed, run, facts.config.competition.metric)) for run in facts.runs
    }
    found = {name: pair for name, pair in read.items() if pair}
    if not found:
        return Section("stress", "Stress", run="kit stress")
    scores = {name: pair[0] for name, pair in found.items()}
    families, degrees, drops = _grid([line for _, lines in found.values() for line in lines])
    rows = [Row(name.replace("-", " "), list(map(_cell, drop))) for name, drop in zip(families, drops, strict=True)]
    title = f"Damaged images cost {number(float(np.mean([one.drop.score for one in scores.values()])), 3)}"
    metric = facts.config.competition.metric
    dots = [Dot(name, one.clean.score, mate=one.stressed.score) for name, one in scores.items()]
    if facts.ensemble is not None and facts.ensemble.stressed is not None:
        dots.append(Dot("blend", facts.ensemble.cv.score, kind="accent", mate=facts.ensemble.stressed.score))
    return Section(
        "stress",
        "Stress",
        f"{title}, {rows[0].name} the most" if rows else title,
        "The same held-out images as a worse microscope would give them, networks unchanged. The table has the mean "
        f"loss of {metric} in hundredths, by kind of damage and its severity.",
        Losses(strip(dots), metric, degrees, rows),
    )


def _stressed(run: Run, metric: str) -> tuple[StressScores, list[dict[str, str]]] | None:
    """The scores of a run and the lines of its table, where it was stressed and judged by this metric."""
    paths, again = run.paths, f"kit stress {run.record.run}"
    if not paths.stress_manifest.exists():
        return None
    record = StressedRun.load(paths.stress_manifest, again)
    if record.metric != metric:
        return None
    record.check(paths.root, again, paths.stress_table.name)
    return record.scores, read_csv(paths.stress_table)


def _grid(lines: list[dict[str, str]]) -> tuple[list[str], list[int], list[list[float]]]:
    """Families, severities, and the mean drop over the runs, (F, S), the dearest family first."""
    found: dict[tuple[str, int], list[float]] = {}
    for line in lines:
        if line["family"] not in WHOLE:
            found.setdefault((line["family"], int(float(line["severity"]))), []).append(float(line["drop"]))
    families = list(dict.fromkeys(family for family, _ in found))
    degrees = sorted({degree for _, degree in found})
    means = np.array([[np.mean(found.get((family, degree), [0.0])) for degree in degrees] for family in families])
    drops = means.reshape(len(families), len(degrees))
    order = np.argsort(-drops.mean(axis=1), kind="stable").tolist() if families else []
    return [families[n] for n in order], degrees, drops[order].tolist()


def _cell(drop: float) -> Cell:
    text = f"{100 * drop:.0f}".replace("-", "−") if abs(drop) >= 0.005 else "·"
    return Cell(text, "less" if drop > 0 else "more", round(min(abs(drop) * 130, 60)))


def forecast(facts: Facts) -> Section:
    """The expected score of every run and candidate with its interval, and the score where there is one."""
    paths = [*(run.paths.forecast for run in facts.runs), *(one.paths.forecast for one in facts.submissions[::-1])]
    found = [_forecast(facts, path) for path in paths]
    records = sorted((record for record in found if record is not None), key=lambda record: -record.value)
    if not records:
        return Section("forecast", "Forecast", run="kit forecast")
    scored = [record for record in records if record.score is not None]
    basis = "the predictions of the test images and how right such predictions are"
    if records[0].basis == "mixture":
        basis = "stressed predictions: the test is taken for some mixture of the corruptions"
    inside = sum(record.low <= (record.score or 0.0) <= record.high for record in scored)
    title = f"{number(records[0].value, 3)} is to be expected of {_name(records[0])}"
    if scored:
        share = "Every score so far" if inside == len(scored) else f"{inside} of {count(len(scored), 'score')}"
        title = f"{share} fell into the interval that was forecast"
    dots = []
    for record in records:
        dots.append(Dot(_name(record), record.value, record.low, record.high, kind="accent"))
        if record.score is not None:
            dots.append(Dot(_name(record), record.score, note="score", kind="warn"))
    return Section(
        "forecast",
        "Forecast",
        title,
        f"What the platform is expected to say, from {basis}. Lines are {percent(records[0].level)} intervals; orange "
        "is the score, where there is one. A forecast never rests on its own score.",
        strip(dots),
    )


def _forecast(facts: Facts, path: Path) -> ForecastRecord | None:
    """What was said of the score by the competition's metric."""
    found = facts.read(ForecastRecord, path)
    return found if found and found.metric == facts.config.competition.metric else None


def _name(record: ForecastRecord) -> str:
    return f"ensemble {record.name.rpartition('-')[2]}" if record.kind == "ensemble" else record.name
