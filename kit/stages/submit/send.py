"""One intent, one submission: what is written down before each step, and when a file may be sent at all.

The intent is on the disk before the first request, the request before it leaves. A request without a known answer is
looked up on the platform, under its file name or message, before anything else is sent.
"""

import secrets
import subprocess
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kit.base.events import Emit, Event
from kit.errors import PlatformError, StageError
from kit.platforms import Platform, Refused, Unsure, Waits
from kit.platforms.track import age, locate, resolve
from kit.store.files import lock
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, Phase, Target, add_event, attempts, load_submissions, of_phase
from kit.store.ledger.facts import Answer, Intent, Refusal


class AlreadySubmitted(StageError):
    """The file was sent before, and nobody asked for another time; ``by_us`` is our own attempt, where it is ours."""

    def __init__(self, message: str, hint: str, by_us: Attempt | None = None) -> None:
        super().__init__(message, hint)
        self.by_us = by_us


class InDoubt(PlatformError):
    """A request without an answer, of which nobody knows yet whether it will arrive."""


@dataclass(frozen=True)
class Parcel:
    """What is to be sent where, and by which account."""

    layout: Layout
    paths: SubmissionPaths
    file: Path
    digest: str
    target: Target
    phase: Phase
    account: str
    again: bool

    def everywhere(self) -> list[Attempt]:
        """Earlier attempts with the same content in the same competition, oldest first."""
        every = attempts(load_submissions(self.layout), self.target)
        return [attempt for attempt in every if attempt.begun.sha256 == self.digest]

    def attempts(self) -> list[Attempt]:
        """Those in the same phase."""
        return of_phase(self.everywhere(), self.phase)

    def alone(self) -> AbstractContextManager[None]:
        """While no other process of this project is sending."""
        return lock(self.layout.submit_lock, "a submission of this project")


def earlier(platform: Platform, parcel: Parcel, waits: Waits) -> Attempt | None:
    """The attempt whose score is still to come, if this file is under way already.

    Raises `StageError` where the file was submitted before, and ``again`` does not ask for another time, and `InDoubt`
    where it was sent a moment ago, without an answer, and the platform does not list it yet.
    """
    for attempt in parcel.everywhere():
        locate(platform, attempt)
    for attempt in parcel.attempts():
        if attempt.state == "requested" and resolve(platform, attempt, waits) is None:
            _refuse_doubt(attempt, waits)
    if parcel.again:
        return None
    known = parcel.attempts()
    arrived = [attempt for attempt in known if attempt.state in ("answered", "failed", "scored")]
    if arrived:
        last = arrived[-1]
        if last.state == "answered":
            return last
        what = "failed" if last.state == "failed" else f"scored {last.score}"
        raise AlreadySubmitted(
            f"this file was submitted already: submission {last.remote} of {last.sent}, {what}",
            "kit submit --again   # spends another submission",
            last,
        )
    return _listed(platform, parcel, known)


def deliver(platform: Platform, parcel: Parcel, waits: Waits, emit: Emit) -> Attempt:
    """Send the file unless another process did; returns the answered attempt. Raises as `earlier`, and `Refused`."""
    with parcel.alone():
        if (meanwhile := earlier(platform, parcel, waits)) is not None:
            return meanwhile
        attempt = _begin(parcel)
        try:
            remote = platform.submit(parcel.file, attempt.begun.tag, attempt)
        except Refused as error:
            attempt.note(Refusal(message=error.message))
            raise
        except Unsure as error:
            emit(Event("warn", f"{error.message}; asking whether it arrived"))
            _ask(platform, attempt.begun.intent, parcel, waits, error.message)
        else:
            attempt.note(Answer(remote=remote, phase=parcel.phase.id))
        return _reload(parcel, attempt.begun.intent)


def _begin(parcel: Parcel) -> Attempt:
    """The intent that an interrupted run left before it sent anything, or a new one."""
    known, name = parcel.attempts(), parcel.paths.root.name
    unsent = [attempt for attempt in known if attempt.state == "intended" and attempt.submission.name == name]
    if unsent and unsent[-1].begun.phase == parcel.phase.id:
        return unsent[-1]
    # A file name of at most 35 characters, which is what Codabench keeps: the time, and the hash of the content.
    now, used = datetime.now(UTC), {attempt.begun.tag for attempt in parcel.everywhere()}
    while (tag := f"kit-{now:%Y%m%dT%H%M%SZ}-{parcel.digest[:8]}") in used:
        now += timedelta(seconds=1)
    intent, commit = secrets.token_hex(8), _commit(parcel.layout.root)
    begun = Intent(tag=tag, sha256=parcel.digest, target=parcel.target, file=parcel.file.name, commit=commit)
    sender = {"phase": parcel.phase.id, "account": parcel.account}
    add_event(parcel.paths, intent, begun.model_copy(update=sender))
    return _reload(parcel, intent)


def _reload(parcel: Parcel, intent: str) -> Attempt:
    return next(attempt for attempt in parcel.attempts() if attempt.begun.intent == intent)


def _commit(root: Path) -> str:
    """The commit that the project stands at, empty outside of git; `+` where tracked files were changed."""
    command = ("git", "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty=+")
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _ask(platform: Platform, intent: str, parcel: Parcel, waits: Waits, why: str) -> None:
    """Look for a submission that got no answer, a few times; it may still be on its way. ``why`` there was none."""
    for _, pause in zip(range(waits.tries), waits.pauses(), strict=False):
        attempt = _reload(parcel, intent)
        if attempt.state == "lost":
            break
        with suppress(PlatformError):
            if resolve(platform, attempt, waits) is not None:
                return
        waits.sleep(pause)
    _refuse_doubt(_reload(parcel, intent), waits, f" ({why})")
    raise Refused("the submission did not arrive: the platform does not list it", "kit submit")


def _refuse_doubt(attempt: Attempt, waits: Waits, why: str = "") -> None:
    """Raise while an unanswered request may still arrive."""
    left = waits.settle - age(attempt, waits)
    if left > 0:
        said = f"{attempt.begun.tag} was sent but not answered{why}, and the platform does not list it yet"
        raise InDoubt(
            f"{said}; it may still arrive",
            f"kit submit   # asks again; sends again only when it is not listed after {left / 60:.0f} minutes",
        )


def _listed(platform: Platform, parcel: Parcel, known: list[Attempt]) -> Attempt | None:
    """An attempt that was not sent, as far as the ledger knows, though the platform lists it: a fact was lost.

    Raises `AlreadySubmitted` where the platform has this content under a tag of another clone, whose ledger has not
    come here yet, or under one that the ledger calls deleted.
    """
    for remote, tag in platform.find(parcel.digest[:8], parcel.phase.id):
        ours = next((attempt for attempt in known if attempt.begun.tag == tag), None)
        if ours is None or ours.state == "deleted":
            why = "is deleted" if ours else "is not"
            said = f"the platform already has this file: submission {remote}, {tag}, {why} in this ledger"
            raise AlreadySubmitted(said, "git pull   # or spend another one: kit submit --again")
        ours.note(Answer(remote=remote, found=True))
        return _reload(parcel, ours.begun.intent)
    return None
