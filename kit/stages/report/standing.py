"""What to expect, what came, where that leaves us: the first screen, stress, forecasts and the board."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kit.errors import StageError
from kit.runs.stressed import StressedRun, StressScores
from kit.show.figures import heat
from kit.show.figures.board import against_score, rank_over_time
from kit.show.figures.strips import Dot, strip
from kit.stages.report.inputs import Facts, Run
from kit.stages.report.section import Section, count, number, percent, signed
from kit.store.candidate import ForecastRecord
from kit.store.files import read_csv
from kit.store.ledger import BoardRow
from kit.store.ledger.standing import Line, agreement, mean_gap, window


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
    record = StressedRun.load(paths.stress_manifest, again) if paths.stress_manifest.exists() else None
    if record is None or record.metric != metric:
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


def headline(facts: Facts) -> Section | str:
    """Cross-validation with its interval, what a shifted test would make of it, the last score and the rank."""
    if facts.candidate is None or facts.ensemble is None:
        return "kit ensemble --all"
    metric, cv = facts.config.competition.metric, facts.ensemble.cv
    title = f"{metric.capitalize()} {number(cv.score)} out of fold"
    lead = (
        f"A blend of {count(len(facts.ensemble.members), 'network')}, judged on {count(facts.ensemble.rows, 'image')} "
        f"that it was not fitted on. With other images of the same kind the figure would lie between {number(cv.low)} "
        f"and {number(cv.high)} in 95 of 100 cases."
    )
    dots = [Dot("cross-validation", cv.score, cv.low, cv.high, kind="accent")]
    if stressed := facts.ensemble.stressed:
        dots.append(Dot("under stress", stressed.score, stressed.low, stressed.high))
    if found := _forecast(facts, facts.candidate.paths.forecast):
        dots.append(Dot(f"forecast, {percent(found.level)}", found.value, found.low, found.high))
    line = next((line for line in reversed(facts.lines) if line.attempt.score is not None), None)
    if line is None or line.attempt.score is None:
        title += "; nothing has been scored yet"
    else:
        dots.append(Dot("last score", line.attempt.score, kind="warn"))
        if line.low <= line.attempt.score <= line.high:
            title += f", and the platform agrees: {number(line.attempt.score)}"
        else:
            title += f", but {number(line.attempt.score)} on the platform"
            lead += (
                f" The score differs from that by {signed(line.gap)}: the test images are not of the same kind, which "
                "the interval does not account for."
            )
    several = strip(metric, dots) if len(dots) > 1 else None
    return Section(title, lead, {"figures": _figures(facts, dots, line), "strip": several})


def _figures(facts: Facts, dots: list[Dot], line: Line | None) -> list[tuple[str, str, str, str]]:
    """In large type: value, label, note and kind of each."""

    def interval(dot: Dot) -> str:
        if dot.kind == "warn" and line is not None:
            return f"{signed(line.gap)} against CV"
        return f"{number(dot.low)} – {number(dot.high)}" if dot.low is not None else ""

    found = [(number(dot.value), dot.name, interval(dot), dot.kind) for dot in dots]
    rank = facts.snapshots[-1].rank if facts.snapshots else None
    if rank is not None:
        of = facts.snapshots[-1].lines
        note = f"of {of:,}, top {percent(rank / of)}" if of > 9 else f"of {of}"  # a share of few says nothing
        found.append((str(rank), "rank", note, ""))
    return found


LISTED = 30
FEWEST = 3  # points below which a picture says less than the table


def standing(facts: Facts) -> Section | str:
    """A point a submission, and what their order says about cross-validation."""
    found, snapshots = facts.lines, facts.snapshots
    scored = [line for line in found if line.attempt.score is not None]
    if not found:
        return "kit submit"
    metric, title = facts.config.competition.metric, "Nothing has been scored yet"
    if scored:
        gap, alike = signed(mean_gap(scored)), agreement(scored)
        title = f"The score differs from cross-validation by {gap}"
        if alike is not None:
            order = f"{alike.alike} of {alike.pairs} pairs in the same order"
            title = f"Cross-validation and score put {order}; mean gap {gap}"
    pictures = [against_score(scored, metric)] if len(scored) >= FEWEST else []
    ranked = [snapshot for snapshot in snapshots if snapshot.rank is not None]
    pictures += [rank_over_time(ranked)] if len(ranked) > 1 else []
    return Section(
        title,
        f"{count(len(found), 'submission')} to {facts.config.competition.name} on {facts.config.competition.platform}. "
        "The forecast, with its interval, is what was expected before the score was known.",
        {
            "pictures": pictures,
            "rows": found[-LISTED:][::-1],
            "board": _board(snapshots[-1].rows()) if snapshots else [],
            "metric": metric,
        },
    )


def _board(rows: Sequence[BoardRow]) -> list[tuple[BoardRow, int, bool]]:
    """The part of the board that is shown: each line with the width of its bar, and whether it follows a gap."""
    scores = np.array([row.score for row in rows] or [0.0])
    low, span = float(scores.min()), float(np.ptp(scores)) or 1.0
    shown = window(rows)
    before = [0, *(row.rank for row in shown)]
    return [
        (row, round(8 + 92 * (row.score - low) / span), row.rank > last + 1 > 1)
        for row, last in zip(shown, before, strict=False)
    ]
