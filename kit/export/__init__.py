"""``kit export``: what is on the disk, told to a tracker of experiments that a team uses already.

The core knows no tracker: a row here names a module, and its package comes with an extra of the same name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit.config import Config
from kit.errors import ConfigError
from kit.export.gather import Tracked, gather
from kit.layout import Layout
from kit.records import Emit, Event

__all__ = ["TRACKERS", "Tracked", "export", "gather"]

# name: function that sends, (found, experiment, to, home) -> (where it went, how many were new or had news)
TRACKERS = {"mlflow": "kit.export.mlflow:send"}


def export(layout: Layout, config: Config, emit: Emit, tracker: str, to: str = "") -> int:
    """Send every run and candidate of the project to a tracker; what it has already is not sent twice.

    Parameters
    ----------
    layout, config, emit
    tracker : str
        A key of `TRACKERS`.
    to : str
        Its address; where it is empty, what the tracker's own environment variable says, else a folder of the project.

    Returns
    -------
    int
        How many runs and candidates were new or had news.

    Raises
    ------
    ConfigError
        Where there is no such tracker, or its package is not installed.
    PlatformError
        Where the tracker refused.
    """
    if tracker not in TRACKERS:
        raise ConfigError(f"no tracker {tracker!r}", f"known: {', '.join(TRACKERS)}")
    module, _, name = TRACKERS[tracker].partition(":")
    send: Callable[[Sequence[Tracked], str, str, Path], tuple[str, list[bool]]]
    send = getattr(importlib.import_module(module), name)
    found = gather(layout, emit)
    where, news = send(found, config.competition.name, to, layout.root)
    emit(
        Event(
            "table", "", {"header": ("exported", "folds", "epochs", "scores", "files", ""), "rows": _rows(found, news)}
        )
    )
    emit(Event("say", f"{tracker}: {sum(news)} of {len(found)} are new or have news, at {where}"))
    return sum(news)


def _rows(found: Sequence[Tracked], news: Sequence[bool]) -> list[tuple[Any, ...]]:
    return [
        (
            one.name,
            len(one.curves),
            sum(map(len, one.curves.values())),
            len(one.scores),
            len(one.files),
            "sent" if new else "known",
        )
        for one, new in zip(found, news, strict=True)
    ]
