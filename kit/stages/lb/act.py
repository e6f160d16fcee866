"""``kit lb --cancel`` and ``--rerun``: what a site lets us do to a submission that it has."""

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import StageError
from kit.platforms import Waits, open_platform
from kit.platforms.track import refresh
from kit.store.layout import Layout
from kit.store.ledger import add_event, attempts, load_submissions, target_of
from kit.store.ledger.facts import Answer


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
