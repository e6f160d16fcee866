"""Cross-validation against the leaderboard: every submission, the board around us, rank over time."""

from collections.abc import Sequence

import numpy as np

from kit.show.figures.board import cv_against_score, rank_over_time
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, signed
from kit.store.ledger import BoardRow
from kit.store.ledger.standing import agreement, mean_gap, window

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
    pictures = [cv_against_score(scored, metric)] if len(scored) >= FEWEST else []
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
