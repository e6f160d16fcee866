"""``kit lb``: where we are, whether cross-validation is right, what is left today, what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.config import Config
from kit.errors import PlatformError, StageError
from kit.files import lock
from kit.layout import Layout
from kit.lb.pictures import draw
from kit.lb.report import build
from kit.lb.show import show
from kit.ledger import Attempt, Target, attempts, history, load_for_tables, target_of
from kit.platforms import Platform, Remaining, Waits, open_platform
from kit.platforms.track import refresh, resolve, take_snapshot
from kit.records import Emit

__all__ = ["leaderboard"]

# A table that somebody waits for: one question each, the last snapshot where there is no answer.
WAITS = Waits(tries=1, connect=5.0, read=20.0)


def leaderboard(
    layout: Layout,
    config: Config,
    emit: Emit,
    *,
    width: int = 80,
    waits: Waits = WAITS,
    pictures: bool = False,
) -> dict[str, Any]:
    """Ask the platform, keep a snapshot, and say where we stand; without a connection from the last snapshot.

    Parameters
    ----------
    width : int
        Columns of the terminal; tables are cut to it.
    waits : Waits
        How patient to be with the platform.
    pictures : bool
        Draw CV against score and rank over time.

    Returns
    -------
    dict
        What ``--json`` prints; see `kit.lb.report.build`.
    """
    target = target_of(config)
    mine = _mine(layout, target)
    left, problem = Remaining(), ""
    try:
        platform = open_platform(layout, config, waits, emit)
        if _update(layout, platform, mine, waits):
            mine = _mine(layout, target)
        take_snapshot(platform, layout, target, {attempt.remote for attempt in mine if attempt.remote})
        left = platform.remaining()
    except PlatformError as error:
        problem = error.message
    report = build(config, mine, history(layout, target), left, problem)
    show(report, emit, width)
    if pictures:
        report["pictures"] = [str(path) for path in draw(layout, config, report, emit)]
    return report


def _mine(layout: Layout, target: Target) -> list[Attempt]:
    return [attempt for attempt in attempts(load_for_tables(layout)) if attempt.target == target]


def _update(layout: Layout, platform: Platform, mine: Sequence[Attempt], waits: Waits) -> bool:
    """Ask for what is not known yet; whether the ledger has grown."""
    doubtful = [attempt for attempt in mine if attempt.state == "requested"]
    if doubtful:
        try:
            with lock(layout.submit_lock, "a submission of this project"):
                for attempt in doubtful:
                    resolve(platform, attempt, waits)
        except StageError:  # it is being sent at this moment, by a process that will say itself what became of it
            doubtful = []
    pending = [attempt for attempt in mine if _incomplete(platform, attempt)]
    for attempt in pending:
        refresh(platform, attempt)
    return bool(doubtful or pending)


def _incomplete(platform: Platform, attempt: Attempt) -> bool:
    if attempt.state == "answered":
        return True
    return platform.private_scores and attempt.state == "scored" and attempt.private is None
