"""``kit lb``: where we are, whether cross-validation is right, what is left today, what to do next.

Also what a person does to a submission: cancel it, run it once more on its site, or note a score that was read there.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from kit.base.events import Emit, Event
from kit.config import Config
from kit.errors import ConfigError, KitError, PlatformError, StageError
from kit.platforms import Platform, Remaining, Unreachable, Waits, open_platform
from kit.platforms.track import locate, refresh, resolve, take_snapshot
from kit.show.figures import Panel, standalone
from kit.show.figures.board import against_score, rank_over_time
from kit.stages.lb.board import show
from kit.stages.lb.report import Report, Seen, build
from kit.store.files import lock, sha256_file, write_atomic
from kit.store.layout import Layout, SubmissionPaths
from kit.store.ledger import Attempt, Phase, add_event, attempts, load_for_tables, load_submissions, target_of
from kit.store.ledger.facts import Answer, Intent, Score
from kit.store.ledger.snapshots import asked_at, history, note_asked

# A table that somebody waits for: one question each, the last snapshot where there is no answer.
WAITS = Waits(tries=1, connect=5.0, read=20.0)


def leaderboard(
    layout: Layout, config: Config, emit: Emit, *, width: int = 80, waits: Waits = WAITS, pictures: bool = False
) -> Report:
    """Ask the platform, keep a snapshot, and say where we stand; without a connection from the last snapshot.

    Tables are cut to ``width`` columns of the terminal; with ``pictures`` CV against score and rank over time are
    drawn. The report's `to_json` is what ``--json`` prints.
    """
    target = target_of(config)
    mine, left, phase = attempts(load_for_tables(layout, emit), target), Remaining(), Phase()
    names, problems = dict[str, str](), list[KitError]()
    try:
        platform = open_platform(layout, config, waits, emit)
        with _noting(problems):
            phase = platform.phase()
        # Submissions, board and what is left, each for itself: a hidden board takes nothing from the others.
        with _noting(problems):
            # A state that does not last, or a score without its private half: only of these it may know more.
            passing = ["requested", "answered"] + ["scored"] * platform.private_scores
            news = [attempt for attempt in mine if attempt.state in passing and attempt.private is None]
            if news or (phase.id and any(attempt.remote and not attempt.phase for attempt in mine)):
                try:
                    _update(layout, platform, mine, waits)
                finally:
                    mine = attempts(load_for_tables(layout), target)
        with _noting(problems):
            take_snapshot(platform, layout, target, mine, phase)
            note_asked(layout, target, phase)
        with _noting(problems):
            left = platform.remaining()
        with _noting(problems):
            names = {said: platform.phase(said).name for said in {attempt.phase for attempt in mine} - {""}}
        told = "; ".join(dict.fromkeys(error.message for error in problems))
        problem = f"some answers of the platform are missing or could not be kept: {told}" if problems else ""
    except PlatformError as error:
        problem, problems = f"the platform could not be asked: {error.message}", [error]
    snapshots = history(layout, target, emit, phase)
    # Without a connection the phase is that of the newest snapshot, as its board is.
    asked = asked_at(layout, target, phase if phase.id or not snapshots else Phase(snapshots[-1].phase))
    seen = Seen(phase, names, left, asked, problem, next((e.hint for e in problems if e.hint), ""))
    report = build(config, mine, snapshots, emit, seen)
    show(report, emit, width)
    return replace(report, pictures=draw(layout, report, emit)) if pictures else report


@contextmanager
def _noting(problems: list[KitError]) -> Iterator[None]:
    """Note what is not told, or cannot be kept, and go on; raises `Unreachable` and `ConfigError`."""
    try:
        yield
    except (Unreachable, ConfigError):
        raise
    except KitError as error:
        problems.append(error)


def _update(layout: Layout, platform: Platform, mine: Sequence[Attempt], waits: Waits) -> None:
    """Ask for what is not known yet; raises `PlatformError` at the end where that was not told of one of them."""
    doubtful = [attempt for attempt in mine if attempt.state == "requested"]
    if doubtful:
        # One that is locked is being sent at this moment, by a process that will say itself what became of it.
        with suppress(StageError), lock(layout.submit_lock, "a submission of this project"):
            for attempt in doubtful:
                resolve(platform, attempt, waits)
    problems: list[KitError] = []
    for attempt in mine:
        locate(platform, attempt)
        if attempt.state == "answered" and attempt.remote:
            with _noting(problems):
                refresh(platform, attempt, waits)
    lacking = [attempt for attempt in mine if attempt.state == "scored" and attempt.private is None and attempt.remote]
    # Private scores all appear at the end of the competition: the newest tells whether the others are worth asking for.
    if platform.private_scores and lacking and refresh(platform, lacking[-1], waits).private is not None:
        for attempt in lacking[:-1]:
            refresh(platform, attempt, waits)
    if problems:
        raise PlatformError("; ".join(dict.fromkeys(error.message for error in problems[:3])), problems[0].hint)


def draw(layout: Layout, report: Report, emit: Emit) -> list[Path]:
    """Write the pictures that there are numbers for; returns their paths, and tells of those that have news."""
    metric, found = report.competition.metric, dict[str, Panel]()
    scored = [line for line in report.submissions if line.attempt.score is not None]
    forecast = [line for line in scored if line.forecast.basis != "gaps"]
    if scored:
        found["cv-score"] = against_score(scored, metric)
    if forecast:
        found["forecast-score"] = against_score(forecast, metric, forecast=True)
    if len(report.snapshots) > 1:
        found["rank"] = rank_over_time(report.snapshots)
    texts = {layout.pictures / f"{name}.svg": standalone(panel) for name, panel in found.items()}
    news = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in news:
        write_atomic(path, texts[path])
    if news:
        emit(Event("wrote", "", {"paths": news}))
    return list(texts)


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
    """Note a score of the newest candidate, or of the one named ``of``, in place of one that was noted before.

    Raises `StageError` where there is none, or the metric cannot have this score.
    """
    holds, target = config.competition.holds, target_of(config)
    if not holds(score):
        example = score / 100 if holds(score / 100) else 0.87
        said = f"{score:g} is not a score that {config.competition.metric} can have"
        raise StageError(said, f"kit lb --add-score {example:g}")
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
    by_hand = [one for one in attempts(load_submissions(layout)) if one.begun.by_hand and one.begun.target == target]
    for earlier in [one for one in by_hand if one.submission.name == paths.root.name][-1:]:
        add_event(paths, earlier.begun.intent, Score(score=score))
        return paths
    intent = secrets.token_hex(8)
    digest = sha256_file(paths.bundle) if paths.bundle.exists() else ""
    add_event(paths, intent, Intent(tag=paths.root.name, sha256=digest, target=target, by_hand=True))
    add_event(paths, intent, Answer(remote=""))
    add_event(paths, intent, Score(score=score))
    return paths
