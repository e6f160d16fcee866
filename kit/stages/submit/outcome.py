"""What a submission got: score, gap to cross-validation and forecast, rank, and what is left."""

from __future__ import annotations

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import PlatformError
from kit.platforms.base import Platform, Remaining
from kit.platforms.track import take_snapshot
from kit.store.layout import Layout
from kit.store.ledger import attempts, history, load_submissions, target_of
from kit.store.ledger.standing import moved, place, standing


def tell_outcome(layout: Layout, config: Config, platform: Platform, intent: str, emit: Emit) -> None:
    """End of `kit submit`; a board that cannot be read takes nothing away from the score."""
    target = target_of(config)
    mine = attempts(load_submissions(layout), target)
    try:
        take_snapshot(platform, layout, target, mine)
    except PlatformError as error:
        emit(Event("warn", f"no leaderboard: {error.message}"))
    snapshots = history(layout, target, emit)
    for line in standing(mine, snapshots, config.competition, emit):
        score, expected = line.attempt.score, line.forecast
        if line.attempt.intent == intent and score is not None:
            where = f"{config.competition.metric} on {config.competition.platform}"
            emit(Event("number", where, {"value": score, "cv": line.cv, "low": line.low, "high": line.high}))
            surprise = "a surprise, look at how the test differs from the training images"
            said = "as expected" if expected.low <= score <= expected.high else surprise
            was = f"{expected.value:.4f} ({expected.low:.4f} - {expected.high:.4f})"
            emit(Event("say", f"gap to CV {line.gap:+.4f}; the forecast was {was}: {said}"))
    if snapshots and snapshots[-1].rank is not None:
        emit(Event("say", place(snapshots[-1], moved(snapshots))))
    try:
        emit(Event("say", tell_remaining(platform.remaining())))
    except PlatformError as error:
        emit(Event("warn", f"submissions left: not known, {error.message}"))


def tell_remaining(left: Remaining) -> str:
    """Submissions left, in one line."""
    if left.now is None:
        return "submissions left: no limit known"
    return f"submissions left: {left.now} ({left.counts}){left.until}"
