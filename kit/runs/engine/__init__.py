"""Where units run: processes on this machine, or tasks on a Ray cluster with the same processes in them.

`tasks` is the driver's side, `task` the body of a task, `sending` what it is told and how files travel, `cluster` what
is known of Ray.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from kit.config import Config
from kit.runs.units import Launch, Processes
from kit.store.layout import Layout

__all__ = ["opened"]


@contextmanager
def opened(layout: Layout, config: Config, given: Launch | None = None) -> Iterator[Launch]:
    """The `Launch` that is ``given``, else the one that ``[engine]`` names.

    Raises `ConfigError` where that needs a package that is not installed.
    """
    if given is not None or config.engine.name == "local":
        yield given or Processes()
        return
    from kit.runs.engine.tasks import RayTasks

    with RayTasks(config.engine, layout.root) as launch:
        yield launch
