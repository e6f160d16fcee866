"""What to expect, what came, where that leaves us: the first screen, and cross-validation against the board."""

from collections.abc import Sequence

import numpy as np

from kit.show.figures.board import against_score, rank_over_time
from kit.show.figures.strips import Dot, strip
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, number, percent, signed
from kit.stages.report.shift import expectations
from kit.store.ledger import BoardRow
from kit.store.ledger.standing import Line, agreement, mean_gap, window


def headline(facts: Facts) -> Section | str:
    """Cross-validation with its interval, what a shifted test would make of it, the last score and the rank."""
    if facts.ensemble is None:
        return "kit ensemble --all"
    metric, cv = facts.config.competition.metric, facts.ensemble.cv
    title = f"{metric.capitalize()} {number(cv.score)} out of fold"
    lead = (
        f"A blend of {count(len(facts.ensemble.members), 'network')}, judged on {count(facts.ensemble.rows, 'image')} "
        f"that it was not fitted on. With other images of the same kind the figure would lie between {number(cv.low)} "
        f"and {number(cv.high)} in 95 of 100 cases."
    )
    dots = [Dot("cross-validation", cv.score, cv.low, cv.high, kind="accent"), *expectations(facts)]
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
