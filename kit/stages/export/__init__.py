"""``kit export``: what is on the disk, told to a tracker of experiments that a team uses already.

The core knows no tracker: a row here names a module, and its package comes with an extra of the same name.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name

from kit.base.events import Emit, Event
from kit.base.text import nearest
from kit.config import Config
from kit.errors import ConfigError
from kit.stages.export.tracked import Tracked, gather
from kit.store.layout import Layout

__all__ = ["TRACKERS", "Tracked", "export", "gather"]

# name: function that sends, (found, experiment, to, home) -> (where it went, how many were new or had news)
TRACKERS = {"mlflow": "kit.stages.export.mlflow:send"}


def export(layout: Layout, config: Config, emit: Emit, tracker: str, to: str = "") -> int:
    """Send every run and candidate to a tracker, a key of `TRACKERS`; what it has already is not sent twice.

    ``to`` is its address; where it is empty, what the tracker's own environment variable says, else a folder of the
    project. Returns how many runs and candidates were new or had news. Raises `ConfigError` where there is no such
    tracker, or its package is not installed, and `PlatformError` where the tracker refused.
    """
    if tracker not in TRACKERS:
        raise ConfigError(f"no tracker {tracker!r}", nearest(tracker, TRACKERS))
    send: Callable[[Sequence[Tracked], str, str, Path], tuple[str, list[bool]]] = resolve_name(TRACKERS[tracker])
    found = gather(layout, emit)
    where, news = send(found, config.competition.name, to, layout.root)
    rows = []
    for one, new in zip(found, news, strict=True):
        epochs = sum(map(len, one.curves.values()))
        rows.append((one.name, len(one.curves), epochs, len(one.scores), len(one.files), "sent" if new else "known"))
    emit(Event("table", "", {"header": ("exported", "folds", "epochs", "scores", "files", ""), "rows": rows}))
    emit(Event("say", f"{tracker}: {sum(news)} of {len(found)} are new or changed, at {where}"))
    return sum(news)
