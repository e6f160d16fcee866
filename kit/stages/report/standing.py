"""Cross-validation against the leaderboard: every submission, the board around us, rank over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from kit.stages.report import svg
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, number, signed
from kit.store.ledger import BoardRow
from kit.store.ledger.standing import Line, agreement, mean_gap, window

SIDE = 340.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 20.0, 14.0, 34.0
LISTED = 30
FEWEST = 3  # points below which a picture says less than the table


def standing(facts: Facts) -> Section:
    """A point a submission, and what their order says about cross-validation."""
    found, snapshots = facts.lines, facts.snapshots
    scored = [line for line in found if line.attempt.score is not None]
    if not found:
        return Section(run="kit submit")
    metric, title = facts.config.competition.metric, "Nothing has been scored yet"
    if scored:
        gap, alike = signed(mean_gap(scored)), agreement(scored)
        title = f"The score is {gap} away from cross-validation"
        if alike is not None:
            order = f"{alike.alike} of {alike.pairs} pairs in the same order"
            title = f"Cross-validation and score put {order}; mean gap {gap}"
    return Section(
        title,
        f"{count(len(found), 'submission')} to {facts.config.competition.name} on {facts.config.competition.platform}. "
        "The forecast, with its interval, is what was to be expected before the score was known.",
        {
            "picture": _scatter(scored, metric) if len(scored) >= FEWEST else None,
            "ranks": _ranks([(snapshot.lines, snapshot.rank) for snapshot in snapshots if snapshot.rank is not None]),
            "rows": found[-LISTED:][::-1],
            "board": _board(snapshots[-1].rows()) if snapshots else [],
            "metric": metric,
        },
    )


def _scatter(scored: list[Line], metric: str) -> Markup:
    shown = scored[-LISTED:]
    ends = [value for line in shown for value in (line.low, line.high, line.attempt.score or 0.0)]
    low, high = min(ends), max(ends)
    margin = 0.05 * ((high - low) or 1.0)
    low, high = low - margin, high + margin
    x, y = svg.Scale(low, high, LEFT, SIDE - RIGHT), svg.Scale(low, high, SIDE - BOTTOM, TOP)
    parts = [*svg.grid(x, y, both=True), svg.line([(x(low), y(low)), (x(high), y(high))], "rule")]
    parts.append(svg.text(x(low) + 46, y(low) - 26, "as validated", "muted"))
    for line in shown:
        height, kind = y(line.attempt.score or 0.0), "accent" if line is shown[-1] else "other"
        said = f"{line.attempt.submission.name}: {number(line.cv)} against {number(line.attempt.score)}"
        parts.append(svg.line([(x(line.low), height), (x(line.high), height)], f"whisker {kind}"))
        parts.append(svg.dot(x(line.cv), height, kind, said, 4.5))
    newest = shown[-1]
    above = y(newest.attempt.score or 0.0) - 9
    parts.append(svg.text(x(newest.cv), above, number(newest.attempt.score), "accent", "middle"))
    parts.append(svg.text(LEFT, SIDE - 2, f"cross-validated {metric}, 95 %", "muted"))
    parts.append(svg.text(LEFT, TOP - 3, "score", "muted"))
    about = f"{len(shown)} submissions, cross-validation against score; the newest {number(newest.cv)} against "
    return svg.svg(SIDE, SIDE, about + number(newest.attempt.score), parts)


def _ranks(ranks: list[tuple[int, int]]) -> Markup | None:
    """Our rank in every snapshot, best at the top, each with the lines of the board; nothing before there are two."""
    if len(ranks) < 2:
        return None
    worst = max(rank for _, rank in ranks)
    height = 150.0
    x, y = svg.Scale(0, len(ranks) - 1, LEFT, SIDE - 40), svg.Scale(1, max(worst, 2), TOP, height - BOTTOM)
    curve = [(x(n), y(rank)) for n, (_, rank) in enumerate(ranks)]
    parts = [svg.line([(LEFT, y(tick)), (SIDE - 40, y(tick))], "grid") for tick in sorted({1, worst})]
    parts += [svg.text(LEFT - 6, y(tick) + 3.5, str(tick), "muted", "end") for tick in sorted({1, worst})]
    parts += [svg.line(curve, "strong"), svg.text(curve[-1][0] + 6, curve[-1][1] + 4, str(ranks[-1][1]), "accent")]
    parts.append(svg.text(LEFT, height - 6, f"rank in {len(ranks)} snapshots of the board", "muted"))
    return svg.svg(SIDE, height, f"Rank over {len(ranks)} snapshots, now {ranks[-1][1]} of {ranks[-1][0]}", parts)


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
