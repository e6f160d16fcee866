"""One intent, one submission: what is written down before each step, and when a file may be sent at all.

The intent is on the disk before the first request, the request before it leaves. A request without a known answer is
looked up on the platform, under its file name or message, before anything else is sent.
"""

from __future__ import annotations

import secrets
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kit.base.events import Emit, Event
from kit.errors import PlatformError, StageError
from kit.platforms.base import Platform, Refused, Unsure, Waits
from kit.platforms.track import age, resolve
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, Target, add_event, attempts, load_submissions
from kit.store.ledger.facts import Answer, F, Fact, Intent, Refusal, newest
from kit.store.locks import lock


class AlreadySubmitted(StageError):
    """The file was sent before, and nobody asked for another time; ``by_us`` is our own attempt, where it is ours."""

    def __init__(self, message: str, hint: str, by_us: Attempt | None = None) -> None:
        super().__init__(message, hint)
        self.by_us = by_us


@dataclass(frozen=True)
class Order:
    """What is to be sent where."""

    layout: Layout
    paths: SubmissionPaths
    file: Path
    digest: str
    target: Target
    again: bool

    def attempts(self) -> list[Attempt]:
        """Earlier attempts with the same content at the same place, oldest first."""
        every = attempts(load_submissions(self.layout))
        return [attempt for attempt in every if attempt.begun.sha256 == self.digest and attempt.target == self.target]


class Notes:
    """The journal of one intent."""

    def __init__(self, attempt: Attempt) -> None:
        self._paths, self._intent = attempt.submission.paths, attempt.intent
        self._facts: list[Fact] = list(attempt.facts)

    def note(self, step: Fact) -> None:
        """Write an event; it is on the disk when this returns."""
        self._facts.append(add_event(self._paths, self._intent, step))

    def recall(self, kind: type[F]) -> F | None:
        """The newest event of a kind, of this run or an earlier one of the same intent."""
        return newest(self._facts, kind)


def earlier(platform: Platform, order: Order, waits: Waits) -> Attempt | None:
    """The attempt whose score is still to come, if this file is under way already.

    Raises `StageError` where the file was submitted before, and ``again`` does not ask for another time, and
    `PlatformError` where it was sent a moment ago, without an answer, and the platform does not list it yet.
    """
    for attempt in order.attempts():
        if attempt.state == "requested" and resolve(platform, attempt, waits) is None:
            _refuse_doubt(attempt, waits)
    known = order.attempts()
    arrived = [attempt for attempt in known if attempt.state in ("answered", "failed", "scored")]
    if order.again:
        return None
    if arrived and arrived[-1].state == "answered":
        return arrived[-1]
    if arrived:
        last = arrived[-1]
        what = "failed" if last.state == "failed" else f"scored {last.score}"
        raise AlreadySubmitted(
            f"this file was submitted already: submission {last.remote} of {last.sent}, {what}",
            "kit submit --again   # spends another submission",
            last,
        )
    return _listed(platform, order, known)


def look(platform: Platform, order: Order, waits: Waits) -> Attempt | None:
    """`earlier`, while no other process of this project is sending."""
    with lock(order.layout.submit_lock, "a submission of this project"):
        return earlier(platform, order, waits)


def deliver(platform: Platform, order: Order, waits: Waits, emit: Emit) -> Attempt:
    """Send the file unless another process did meanwhile; returns the attempt, which the platform has answered.

    Raises `StageError` or `PlatformError` as `earlier`; `Refused` where the platform took nothing.
    """
    with lock(order.layout.submit_lock, "a submission of this project"):
        meanwhile = earlier(platform, order, waits)
        if meanwhile is not None:
            return meanwhile
        attempt = _begin(order)
        notes = Notes(attempt)
        try:
            remote = platform.submit(order.file, attempt.tag, notes)
        except Refused as error:
            notes.note(Refusal(message=error.message))
            raise
        except Unsure as error:
            emit(Event("warn", f"{error.message}; asking whether it arrived"))
            _ask(platform, attempt.intent, order, waits)
        else:
            notes.note(Answer(remote=remote))
        return _reload(order, attempt.intent)


def _begin(order: Order) -> Attempt:
    """The intent that an interrupted run left before it sent anything, or a new one."""
    known, name = order.attempts(), order.paths.root.name
    unsent = [attempt for attempt in known if attempt.state == "intended" and attempt.submission.name == name]
    if unsent:
        return unsent[-1]
    # A file name of at most 35 characters, which is what Codabench keeps: the time, and the hash of the content.
    now, used = datetime.now(UTC), {attempt.tag for attempt in known}
    while (tag := f"kit-{now:%Y%m%dT%H%M%SZ}-{order.digest[:8]}") in used:
        now += timedelta(seconds=1)
    intent, commit = secrets.token_hex(8), _commit(order.layout.root)
    begun = Intent(tag=tag, sha256=order.digest, target=order.target, file=order.file.name, commit=commit)
    add_event(order.paths, intent, begun)
    return _reload(order, intent)


def _reload(order: Order, intent: str) -> Attempt:
    return next(attempt for attempt in order.attempts() if attempt.intent == intent)


def _commit(root: Path) -> str:
    """The commit that the project stands at, empty outside of git; `+` where tracked files were changed."""
    command = ("git", "describe", "--always", "--exclude=*", "--abbrev=10", "--dirty=+")
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _ask(platform: Platform, intent: str, order: Order, waits: Waits) -> None:
    """Look for a submission that got no answer, a few times; it may still be on its way."""
    for _, pause in zip(range(waits.tries), waits.pauses(), strict=False):
        attempt = _reload(order, intent)
        if attempt.state == "lost":
            break
        with suppress(PlatformError):
            if resolve(platform, attempt, waits) is not None:
                return
        waits.sleep(pause)
    _refuse_doubt(_reload(order, intent), waits)
    raise Refused("the submission did not arrive: the platform does not list it", "kit submit")


def _refuse_doubt(attempt: Attempt, waits: Waits) -> None:
    """Raise while an unanswered request may still arrive."""
    left = waits.settle - age(attempt, waits)
    if left > 0:
        raise PlatformError(
            f"{attempt.tag} was sent without an answer, and the platform does not list it yet; it may still arrive",
            f"kit submit   # asks again; sends again only when it is not listed after {left / 60:.0f} minutes",
        )


def _listed(platform: Platform, order: Order, known: list[Attempt]) -> Attempt | None:
    """An attempt that was not sent, as far as the ledger knows, though the platform lists it: a fact was lost.

    Raises `AlreadySubmitted` where the platform has this content under a tag of another clone, whose ledger has not
    come here yet.
    """
    for remote, tag in platform.find(order.digest[:8]):
        ours = next((attempt for attempt in known if attempt.tag == tag), None)
        if ours is None:
            raise AlreadySubmitted(
                f"the platform has this file already: submission {remote}, {tag}; this ledger does not know it",
                "git pull   # or spend another one: kit submit --again",
            )
        if ours.state == "intended":
            add_event(ours.submission.paths, ours.intent, Answer(remote=remote, found=True))
            return _reload(order, ours.intent)
    return None
