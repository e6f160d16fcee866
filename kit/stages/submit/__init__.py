"""``kit submit``: spend a submission once, when it will count."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import KitError, PlatformError, StageError
from kit.platforms import Platform, Remaining, Status, Waits, open_platform
from kit.platforms.track import refresh, take_snapshot
from kit.stages.submit.send import AlreadySubmitted, InDoubt, Parcel, deliver, earlier
from kit.store.candidate import Proof
from kit.store.files import sha256_file
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, attempts, history, load_submissions, target_of
from kit.store.ledger.standing import moved, place, standing

# Questions in a row that may fail before waiting is given up; the submission is safe and `kit lb` picks it up.
MISSED = 5


@dataclass(frozen=True)
class Choice:
    """How to submit; ``confirm`` is asked with what will be spent, and where it says False nothing is sent."""

    dry_run: bool = False  # check everything, send nothing
    again: bool = False  # send a file that was sent before; it counts again
    wait: bool = True  # stay until there is a score; `kit lb` picks it up otherwise
    publish: bool = False  # put the scored submission on a board that is filled by hand
    confirm: Callable[[str], bool] | None = None


def submit(
    layout: Layout,
    config: Config,
    paths: SubmissionPaths,
    emit: Emit,
    choice: Choice = Choice(),
    waits: Waits | None = None,
) -> None:
    """Send a proven candidate to the platform, once, and wait for its score.

    Raises `StageError` where the bundle has no proof, is not the file that was proven, or was submitted before, and
    `PlatformError` where the platform refuses, fails or does not answer.
    """
    platform = open_platform(layout, config, waits := waits or Waits(), emit)
    parcel = _parcel(platform, layout, config, paths, choice.again)
    try:
        attempt = _settled(platform, parcel, waits, emit, choice)
    except AlreadySubmitted as known:
        ours = known.by_us
        # Nothing is left to do where this very candidate has its score. Anything else is refused by name.
        if choice.again or ours is None or ours.state != "scored" or ours.submission.name != paths.root.name:
            raise
        emit(Event("fresh", "submit", {"stage": "submit", "submission": paths.root.name}))
        emit(Event("say", f"{known.message}; to submit it once more: kit submit --again"))
        if choice.publish and not choice.dry_run:
            _finish(platform, ours, True, emit)
        return
    if attempt is None:
        if not _agreed(platform, parcel, config, emit, choice):
            return
        attempt = deliver(platform, parcel, waits, emit)
    else:
        told = f"submission {attempt.remote or '?'} ({attempt.sent})"
        emit(Event("warn", f"already sent as {told}; no further submission is spent"))
    if choice.dry_run:
        return
    if not choice.wait:
        emit(Event("say", f"submitted as {attempt.remote}; its score: kit lb"))
        return
    _wait(platform, attempt, waits, emit)
    _finish(platform, attempt, choice.publish, emit)
    tell_outcome(layout, config, platform, attempt.begun.intent, emit)


def _settled(platform: Platform, parcel: Parcel, waits: Waits, emit: Emit, choice: Choice) -> Attempt | None:
    """As `earlier`; stays, where it may, until a request that a killed run left without an answer is certain."""
    pauses = waits.pauses()
    while True:
        try:
            with parcel.alone():
                return earlier(platform, parcel, waits)
        except InDoubt as doubt:
            if choice.dry_run or not choice.wait:
                raise
            emit(Event("progress", f"submit: {doubt.message}; waiting", {"stage": "submit"}))
            waits.sleep(next(pauses))


def _parcel(platform: Platform, layout: Layout, config: Config, paths: SubmissionPaths, again: bool) -> Parcel:
    if platform.takes_table():
        if not paths.table.is_file():
            raise StageError(f"{paths.root.name} has no table of predictions", "kit table")
    elif not paths.proof.exists():
        raise StageError(f"{paths.root.name} has no proven bundle", "kit bundle")
    elif not paths.bundle.is_file() or sha256_file(paths.bundle) != Proof.load(paths.proof).sha256:
        raise StageError(f"{paths.bundle} is not the file that was proven", Proof.COMMAND)
    file, account = platform.file(paths), ""
    with suppress(PlatformError):  # it only helps to tell a deleted submission from one of a team mate
        account = platform.account()
    return Parcel(layout, paths, file, sha256_file(file), target_of(config), platform.phase(), account, again)


def _agreed(platform: Platform, parcel: Parcel, config: Config, emit: Emit, choice: Choice) -> bool:
    """Check, say what became of the file in other phases and what will be spent, and ask."""
    for note in platform.check(parcel.file):
        emit(Event("warn", note))
    left = platform.remaining()
    if left.now == 0:
        raise PlatformError(f"no submissions are left{left.until}", "kit lb")
    for attempt in parcel.everywhere():
        if attempt.state == "scored" and not parcel.phase.holds(attempt.phase):
            phase = platform.phase(attempt.phase).name or attempt.phase
            emit(Event("say", f"scored {attempt.score} in phase `{phase}`; `{parcel.phase.name}` has not seen it"))
    cost = "" if left.now is None else f": spends 1 of the submissions left ({left.counts}){left.until}"
    where = f"{config.competition.platform}{f', phase `{parcel.phase.name}`' * bool(parcel.phase.name)}"
    plan = f"{parcel.file.name} ({parcel.digest[:8]}) to {where}{cost}"
    if choice.dry_run:
        emit(Event("say", f"would send {plan}"))
        return False
    emit(Event("say", f"sending {plan}"))
    if choice.confirm is not None and not choice.confirm("Submit?"):
        emit(Event("say", "nothing was sent"))
        return False
    return True


def _wait(platform: Platform, attempt: Attempt, waits: Waits, emit: Emit) -> None:
    missed, told = 0, ""
    begun = waits.clock()
    for pause in waits.pauses():
        if waits.clock() - begun >= waits.end:
            break
        try:
            status, missed = refresh(platform, attempt, waits, lasting=missed >= MISSED), 0
        except PlatformError as error:
            status, missed = Status("waiting"), missed + 1
            if missed > MISSED:
                what = f"submission {attempt.remote} was sent, but {error.message}"
                raise PlatformError(what, error.hint or "kit lb") from None
        if status.state == "failed":
            raise StageError(f"submission {attempt.remote} failed on the platform: {status.message}", "kit lb")
        if status.state == "scored":
            return
        text = f"submit: {status.message or 'waiting for the score'}"
        if text != told:
            emit(Event("progress", text, {"stage": "submit"}))
            told = text
        waits.sleep(pause)
    raise PlatformError(
        f"submission {attempt.remote} has no score after {waits.end / 3600:.0f} hours: "
        f"{told.removeprefix('submit: ')}; it counts against the limits until it fails",
        "kit lb   # asks again; the submission stays where it is",
    )


def _finish(platform: Platform, attempt: Attempt, publish: bool, emit: Emit) -> None:
    """Boards that are filled by hand show a scored submission only when asked to."""
    if publish:
        emit(Event("say", f"leaderboard: {platform.publish(attempt.remote)}"))
    elif platform.manual():
        emit(Event("warn", "this board is filled by hand; to show the submission on it: kit submit --to-leaderboard"))


def tell_outcome(layout: Layout, config: Config, platform: Platform, intent: str, emit: Emit) -> None:
    """Score, gap to cross-validation and forecast, rank, what is left; a board that cannot be read spoils nothing."""
    target, phase = target_of(config), platform.phase()
    mine = attempts(load_submissions(layout), target)
    try:
        take_snapshot(platform, layout, target, mine, phase)
    except KitError as error:
        emit(Event("warn", f"the leaderboard could not be read or kept: {error.message}"))
    snapshots = history(layout, target, emit, phase)
    for line in standing(mine, snapshots, config.competition, emit):
        score, expected = line.attempt.score, line.forecast
        if line.attempt.begun.intent == intent and score is not None:
            where = f"{config.competition.metric} on {config.competition.platform}"
            emit(Event("number", where, {"value": score, "cv": line.cv, "low": line.low, "high": line.high}))
            surprise = "outside this interval; look at how the test images differ from the training images"
            said = "as expected" if expected.low <= score <= expected.high else surprise
            was = f"{expected.value:.4f} ({expected.low:.4f} - {expected.high:.4f})"
            emit(Event("say", f"gap to CV {line.gap:+.4f}; the forecast was {was}: {said}"))
            if line.attempt.message:
                emit(Event("warn", f"scored {score}, {line.attempt.message}"))
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
