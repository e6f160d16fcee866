"""Asking a platform and writing down what it says: what `kit submit` and `kit lb` have in common."""

from collections.abc import Iterable
from dataclasses import replace

from kit.errors import PlatformError
from kit.platforms.base import Platform, Status, Waits
from kit.store.layout import Layout
from kit.store.ledger import Attempt, Snapshot, Target, add_snapshot
from kit.store.ledger.facts import Answer, Failure, Lost, Request, Score


def resolve(platform: Platform, attempt: Attempt, waits: Waits) -> str | None:
    """The platform's id of a submission that was sent without an answer, if it arrived.

    Not listed is believed only after ``waits.settle``: until then the request may still be on its way. Then the attempt
    is noted as lost. Raises `PlatformError` where the platform cannot be asked.
    """
    found = [remote for remote, tag in platform.find(attempt.begun.sha256[:8]) if tag == attempt.tag]
    if found:
        attempt.note(Answer(remote=found[-1], found=True))
        return found[-1]
    if age(attempt, waits) >= waits.settle:
        attempt.note(Lost())
    return None


def age(attempt: Attempt, waits: Waits) -> float:
    """Seconds since the request of an attempt left."""
    sent = attempt.last(Request) or attempt.begun
    return waits.clock() - sent.time.timestamp()


def refresh(platform: Platform, attempt: Attempt) -> Status:
    """Ask for the state of a submission; a score or a failure that is news goes to the ledger."""
    status = platform.status(attempt.remote)
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
        attempt.note(Score(remote=attempt.remote, score=status.score, private=status.private, scores=status.scores))
    return status


def take_snapshot(platform: Platform, layout: Layout, target: Target, ours: Iterable[Attempt]) -> Snapshot:
    """Fetch the board and keep it; a line is ours by what the platform says or by the id of one of our submissions.

    Raises `PlatformError` where the platform cannot be asked, or shows no board to us.
    """
    remotes = {attempt.remote for attempt in ours} - {""}
    rows = [replace(row, mine=row.mine or row.remote in remotes) for row in platform.leaderboard()]
    return add_snapshot(layout, target, rows)
