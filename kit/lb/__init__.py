"""``kit lb``: where we are, whether cross-validation is right, what is left today, what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from kit.config import Config
from kit.errors import PlatformError, StageError
from kit.layout import Layout
from kit.lb.pictures import draw
from kit.lb.report import Facts, Report, build
from kit.lb.show import show
from kit.ledger import Attempt, Target, asked_at, attempts, history, load_for_tables, note_asked, target_of
from kit.platforms import Platform, Waits, open_platform
from kit.platforms.base import Remaining, Unreachable
from kit.platforms.track import refresh, resolve, take_snapshot
from kit.records import Emit, silent
from kit.store.locks import lock

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
) -> Report:
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
    Report
        Its `to_json` is what ``--json`` prints.
    """
    target = target_of(config)
    asked = _ask(layout, config, target, waits, emit)
    facts = Facts(asked.mine, history(layout, target, emit), asked.left, asked.problem, asked_at(layout, target))
    report = build(config, facts, emit)
    show(report, emit, width)
    return replace(report, pictures=draw(layout, report, emit)) if pictures else report


@dataclass
class _Asked:
    """Our submissions and what the platform said; ``problem`` = why not all of it, or empty."""

    mine: list[Attempt]
    left: Remaining = field(default_factory=Remaining)
    problem: str = ""


def _ask(layout: Layout, config: Config, target: Target, waits: Waits, emit: Emit) -> _Asked:
    """Submissions, board and what is left, each for itself: a hidden board takes nothing from the others."""
    said = _Asked(_mine(layout, target, emit))

    def update() -> None:
        if any(_incomplete(platform, attempt) for attempt in said.mine):
            try:
                _update(layout, platform, said.mine, waits)
            finally:
                said.mine = _mine(layout, target, silent)

    def snapshot() -> None:
        take_snapshot(platform, layout, target, {attempt.remote for attempt in said.mine if attempt.remote})
        note_asked(layout, target)

    def left() -> None:
        said.left = platform.remaining()

    try:
        platform = open_platform(layout, config, waits, emit)
        problems = gather([update, snapshot, left])
        said.problem = f"the platform did not tell all: {'; '.join(problems)}" if problems else ""
    except PlatformError as error:
        said.problem = f"the platform was not asked: {error.message}"
    return said


def gather(steps: Iterable[Callable[[], object]]) -> list[str]:
    """Run all steps and return what went wrong, each thing once; raises `Unreachable` at the first without answer."""
    problems: dict[str, None] = {}
    for step in steps:
        try:
            step()
        except Unreachable:
            raise
        except PlatformError as error:
            problems[error.message] = None
    return list(problems)


def _mine(layout: Layout, target: Target, emit: Emit) -> list[Attempt]:
    return [attempt for attempt in attempts(load_for_tables(layout, emit)) if attempt.target == target]


def _incomplete(platform: Platform, attempt: Attempt) -> bool:
    """Whether the platform may know more of it: a state that does not last, or a score without its private half."""
    if attempt.state in ("requested", "answered"):
        return True
    return platform.private_scores and attempt.state == "scored" and attempt.private is None


def _update(layout: Layout, platform: Platform, mine: Sequence[Attempt], waits: Waits) -> None:
    """Ask for what is not known yet.

    Raises `PlatformError` where the platform does not tell it of one of them; the others were asked for all the same.
    """
    doubtful = [attempt for attempt in mine if attempt.state == "requested"]
    if doubtful:
        try:
            with lock(layout.submit_lock, "a submission of this project"):
                for attempt in doubtful:
                    resolve(platform, attempt, waits)
        except StageError:  # it is being sent at this moment, by a process that will say itself what became of it
            pass
    pending = [attempt for attempt in mine if attempt.state == "answered" and attempt.remote]
    problems = gather(partial(refresh, platform, attempt) for attempt in pending)
    if platform.private_scores:
        _update_private(platform, mine)
    if problems:
        raise PlatformError("; ".join(problems[:3]), "kit lb")


def _update_private(platform: Platform, mine: Sequence[Attempt]) -> None:
    """They all appear at the end of the competition: the newest tells whether it is worth asking for the others."""
    lacking = [attempt for attempt in mine if attempt.state == "scored" and attempt.private is None and attempt.remote]
    if lacking and refresh(platform, lacking[-1]).private is not None:
        for attempt in lacking[:-1]:
            refresh(platform, attempt)
