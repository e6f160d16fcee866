"""Clean against stressed, and what the leaderboard is expected to say: the files of the stages that made them."""

from functools import partial
from pathlib import Path

import numpy as np

from kit.errors import StageError
from kit.runs.stressed import StressedRun, StressScores
from kit.show.figures import heat
from kit.show.figures.strips import Dot, strip
from kit.stages.report.inputs import Facts, Run
from kit.stages.report.section import Section, count, number, percent
from kit.store.candidate import ForecastRecord
from kit.store.files import read_csv


def expectations(facts: Facts) -> list[Dot]:
    """Scores of the newest candidate to expect beside cross-validation."""
    if facts.candidate is None or facts.ensemble is None:
        return []
    stressed, found = facts.ensemble.stressed, _forecast(facts, facts.candidate.paths.forecast)
    dots = [Dot("under stress", stressed.score, stressed.low, stressed.high)] if stressed else []
    if found:
        dots.append(Dot(f"forecast, {percent(found.level)}", found.value, found.low, found.high))
    return dots


def stress(facts: Facts) -> Section | str:
    """Scores of every run clean and under the mixture, and what each family of corruptions costs."""
    metric = facts.config.competition.metric
    read = {run.record.run: facts.attempt(partial(_stressed, run, metric)) for run in facts.runs}
    found = {name: pair for name, pair in read.items() if pair}
    if not found:
        return "kit stress"
    scores = {name: pair[0] for name, pair in found.items()}
    drops = heat.drops(line for _, lines in found.values() for line in lines)
    title = f"Corrupted images cost {number(float(np.mean([one.drop.score for one in scores.values()])), 3)}"
    dots = [Dot(name, one.clean.score, mate=one.stressed.score) for name, one in scores.items()]
    if facts.ensemble is not None and facts.ensemble.stressed is not None:
        dots.append(Dot("blend", facts.ensemble.cv.score, kind="accent", mate=facts.ensemble.stressed.score))
    return Section(
        f"{title}, {next(iter(drops)).replace('-', ' ')} the most" if drops else title,
        "The same networks on held-out images corrupted as by a worse microscope. The table shows the mean "
        f"loss of {metric} in hundredths, by kind of corruption and its severity.",
        {
            "scores": strip(f"{metric}, clean and under stress", dots),
            "drops": heat.losses(drops, metric, "mean of the networks") if drops else None,
            "metric": metric,
        },
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


def forecast(facts: Facts) -> Section | str:
    """The expected score of every run and candidate with its interval, and the score where there is one."""
    paths = [*(run.paths.forecast for run in facts.runs), *(one.paths.forecast for one in facts.submissions[::-1])]
    found = [_forecast(facts, path) for path in paths]
    best = 1 if facts.config.competition.greater_is_better else -1
    records = sorted((record for record in found if record is not None), key=lambda record: -best * record.value)
    if not records:
        return "kit forecast"
    scored = [record for record in records if record.score is not None]
    basis = "the predictions for the test images and how often such predictions are right"
    if records[0].basis == "mixture":
        basis = "stressed predictions: the test is assumed to be a mixture of the corruptions"
    inside = sum(record.low <= (record.score or 0.0) <= record.high for record in scored)
    title = f"The expected score of {_name(records[0])} is {number(records[0].value, 3)}"
    if scored:
        share = "Every score so far" if inside == len(scored) else f"{inside} of {count(len(scored), 'score')}"
        title = f"{share} fell into the forecast interval"
    dots = []
    for record in records:
        dots.append(Dot(_name(record), record.value, record.low, record.high, kind="accent"))
        if record.score is not None:
            dots.append(Dot(_name(record), record.score, note="score", kind="warn"))
    return Section(
        title,
        f"The score to expect from the platform, based on {basis}. Lines are {percent(records[0].level)} intervals; "
        "orange marks the score, where there is one. A forecast never uses its own score.",
        strip("Forecasts and scores", dots),
    )


def _forecast(facts: Facts, path: Path) -> ForecastRecord | None:
    """What was said of the score by the competition's metric."""
    found = facts.read(ForecastRecord, path)
    if found and not found.is_of(facts.test):
        facts.problems.append(StageError(f"{path} was made for other test images", "kit forecast"))
        return None
    return found if found and found.metric == facts.config.competition.metric else None


def _name(record: ForecastRecord) -> str:
    return f"ensemble {record.name.rpartition('-')[2]}" if record.kind == "ensemble" else record.name
