"""Who scores: one table, one surface.

Adding a platform is a class with the methods of `kit.platforms.base.Platform` and a line in
`kit.config.competition.PLATFORMS`; the contract tests then run on it.
"""

from collections.abc import Callable
from pkgutil import resolve_name

from kit.base.events import Emit, silent
from kit.config import Config
from kit.config.competition import PLATFORMS
from kit.platforms.base import Platform, Setting, Waits
from kit.store.layout import Layout

__all__ = ["PLATFORMS", "Platform", "Waits", "open_platform"]


def open_platform(layout: Layout, config: Config, waits: Waits | None = None, emit: Emit = silent) -> Platform:
    """The configured platform; nothing is sent yet."""
    make: Callable[[Setting], Platform] = resolve_name(PLATFORMS[config.competition.platform])
    return make(Setting(layout, config, waits or Waits(), emit))
