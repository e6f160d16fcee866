"""Asking a platform and writing down what it says: what `kit submit` and `kit lb` have in common."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from kit.errors import KitError, PlatformError
from kit.platforms import Absent, Platform, Status, Waits
from kit.platforms.uploads import CRASH
from kit.store.candidate import ForecastRecord
from kit.store.layout import Layout
from kit.store.ledger import Attempt, Phase, Snapshot, Target, add_snapshot
from kit.store.ledger.facts import Answer, Deleted, Failure, Lost, Request, Score

GONE = "it was deleted there; the same file may be sent again"


def resolve(platform: Platform, attempt: Attempt, waits: Waits) -> str | None:
    """The platform's id of a submission that was sent without an answer, if it arrived.

    Not listed is believed only after ``waits.settle``: until then the request may still be on its way. Then the attempt
    is noted as lost. Raises `PlatformError` where the platform cannot be asked.
    """
    found = _listed(platform, attempt)
    if found:
        attempt.note(Answer(remote=found[-1], found=True))
        return found[-1]
    if age(attempt, waits) >= waits.settle:
        attempt.note(Lost())
    return None


def _listed(platform: Platform, attempt: Attempt) -> list[str]:
    """Ids under which the platform lists an attempt, in the phase that it was sent to."""
    begun = attempt.begun
    return [remote for remote, tag in platform.find(begun.sha256[:8], begun.phase) if tag == begun.tag]


def locate(platform: Platform, attempt: Attempt) -> None:
    """Note the phase of a submission that was sent by a kit which did not, where the platform still says it."""
    if attempt.remote and not attempt.phase:
        with suppress(PlatformError):
            if phase := platform.phase_of(attempt.remote):
                attempt.note(Answer(remote=attempt.remote, found=True, phase=phase))


def age(attempt: Attempt, waits: Waits) -> float:
    """Seconds since the request of an attempt left."""
    sent = attempt.last(Request) or attempt.begun
    return waits.clock() - sent.time.timestamp()


def refresh(platform: Platform, attempt: Attempt, waits: Waits, *, lasting: bool = False) -> Status:
    """Ask for the state of a submission; a score or a failure that is news goes to the ledger.

    One that the platform no longer shows is deleted, once it is old enough to be shown or that is ``lasting``, and the
    platform does not list it either. Raises `PlatformError` where the platform does not tell.
    """
    try:
        status = platform.status(attempt.remote)
    except Absent:
        # A site shows submissions of another account of the team to nobody else; an earlier kit did not note whose.
        ours = bool(attempt.begun.account) and attempt.begun.account == platform.account()
        if not (lasting or age(attempt, waits) >= waits.settle) or not ours or _listed(platform, attempt):
            raise
        attempt.note(Deleted(remote=attempt.remote))
        return Status("failed", message=GONE)
    if status.state == "failed" and attempt.state != "failed":
        try:
            logs = platform.logs(attempt.remote)
        except PlatformError as error:  # a failure stands without its logs too
            logs = f"(no logs: {error.message})"
        message = "\n".join(part for part in (status.message, logs) if part)
        attempt.note(Failure(remote=attempt.remote, message=message))
        return Status("failed", message=message)
    known = (attempt.score, attempt.private)
    if status.state == "scored" and status.score is not None and (status.score, status.private) != known:
        crash = attempt.message if attempt.state == "scored" else _crash(platform, attempt, status.score)
        score = Score(remote=attempt.remote, score=status.score, private=status.private, scores=status.scores)
        attempt.note(score.model_copy(update={"parts": status.parts, "message": crash}))
    return status


def _crash(platform: Platform, attempt: Attempt, score: float) -> str:
    """The logs of a score far outside of what was expected, if they tell of a crash, to which some hosts give 0."""
    with suppress(KitError):
        written, known = attempt.submission.paths.forecast, attempt.submission.judged
        found = ForecastRecord.load(written) if written.exists() else known.cv
        if abs(score - (found.low + found.high) / 2) > 1.5 * (found.high - found.low):
            logs = platform.logs(attempt.remote)
            return f"far from what was expected, and its logs tell of a crash:\n{logs}" if CRASH in logs else ""
    return ""


def take_snapshot(
    platform: Platform, layout: Layout, target: Target, ours: Iterable[Attempt], phase: Phase
) -> Snapshot:
    """Fetch the board of ``phase`` and keep it, our lines marked; raises `PlatformError` where it is not shown."""
    remotes = {remote for attempt in ours for remote in attempt.remotes}
    rows = [replace(row, mine=row.mine or row.remote in remotes) for row in platform.leaderboard()]
    return add_snapshot(layout, target, rows, phase)
