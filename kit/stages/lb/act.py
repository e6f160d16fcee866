"""What a person does to a submission: cancel it, run it once more on its site, or note a score that was read there."""

import math
import secrets

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import StageError
from kit.platforms import Waits, open_platform
from kit.platforms.track import refresh
from kit.store.files import sha256_file
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import add_event, attempts, load_submissions, target_of
from kit.store.ledger.facts import Answer, Intent, Score


def act(layout: Layout, config: Config, emit: Emit, of: str = "", *, rerun: bool) -> None:
    """Cancel a submission that has no result yet or, with ``rerun``, let the platform run one once more.

    It is the newest, or the one with the number ``of`` on the platform, or the newest whose candidate's name contains
    it. Raises `StageError` where there is none, and `PlatformError` where the platform does not offer it.
    """
    sent = [one for one in attempts(load_submissions(layout), target_of(config)) if one.remote]
    fitting = [one for one in sent if of in ("", one.remote)] or [one for one in sent if of in one.submission.name]
    chosen = [one for one in fitting if rerun or one.state == "answered"]
    if not chosen:
        what = "has been sent" if rerun else "is waiting for a result"
        raise StageError(f"no submission{f' {of!r}' if of else ''} {what}", "kit lb")
    platform, attempt = open_platform(layout, config, waits := Waits(), emit), chosen[-1]
    if not rerun:
        emit(Event("say", platform.cancel(attempt.remote)))
        refresh(platform, attempt, waits)
        return
    remote = platform.rerun(attempt.remote)
    # Under an intent of its own: the platform made another submission of the same file, which counts like any other.
    intent = f"rerun-{remote}"
    add_event(attempt.submission.paths, intent, attempt.begun)
    add_event(attempt.submission.paths, intent, Answer(remote=remote, phase=attempt.phase))
    emit(Event("say", f"submission {attempt.remote} runs again as {remote}; its score: kit lb"))


def add_score(layout: Layout, config: Config, score: float, of: str = "") -> SubmissionPaths:
    """Write a score to the ledger, for the newest candidate or the one whose name contains ``of``.

    Raises `StageError` where no candidate, or more than one, is meant, or the score is no finite number.
    """
    if not math.isfinite(score):
        raise StageError(f"{score} is not a finite score", "kit lb --add-score 0.87")
    every = [submission.paths for submission in load_submissions(layout)]
    if not every:
        raise StageError("there is no candidate yet", "kit ensemble")
    found = [paths for paths in every if of in paths.root.name]
    if not found or (of and len(found) > 1):
        names = ", ".join(one.root.name for one in (found or every)[:5])
        said = f"{len(found)} candidates match {of!r}" if found else f"no candidate matches {of!r}"
        newest = (found or every)[-1].root.name
        raise StageError(f"{said}: {names}", f"kit lb --add-score {score:g} --of {newest}")
    paths = found[-1]
    intent = secrets.token_hex(8)
    digest = sha256_file(paths.bundle) if paths.bundle.exists() else ""
    add_event(paths, intent, Intent(tag=paths.root.name, sha256=digest, target=target_of(config), by_hand=True))
    add_event(paths, intent, Answer(remote=""))
    add_event(paths, intent, Score(score=score))
    return paths
