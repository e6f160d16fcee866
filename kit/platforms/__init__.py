"""Who scores: one table, one surface.

Adding a platform is a class with the methods of `kit.platforms.base.Platform` and a line in `PLATFORMS`; the
contract tests then run on it.
"""

from __future__ import annotations

from pkgutil import resolve_name

from kit.base.events import Emit, silent
from kit.base.text import nearest
from kit.config import Config
from kit.errors import ConfigError
from kit.platforms.base import Platform, Setting, Waits
from kit.store.layout import Layout

__all__ = ["PLATFORMS", "Platform", "Waits", "open_platform"]

PLATFORMS: dict[str, str] = {
    "local": "kit.platforms.local:Local",
    "codabench": "kit.platforms.codabench:Codabench",
    "kaggle": "kit.platforms.kaggle:Kaggle",
}


def open_platform(layout: Layout, config: Config, waits: Waits | None = None, emit: Emit = silent) -> Platform:
    """The configured platform; nothing is sent yet; raises `ConfigError` where the kit has no such platform."""
    name = config.competition.platform
    if name not in PLATFORMS:
        raise ConfigError(f"competition.platform = {name!r} is not supported", nearest(name, PLATFORMS))
    platform: Platform = resolve_name(PLATFORMS[name])(Setting(layout, config, waits or Waits(), emit))
    return platform
