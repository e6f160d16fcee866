"""``[engine]``: where the units of training run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kit.config.base import PathName, Section


class EngineConfig(Section):
    """``[engine]``: on which machines units run; nothing here changes a result."""

    name: Literal["local", "ray"] = "local"
    """`local`: processes on this machine. `ray`: tasks on a Ray cluster."""
    address: str = ""
    """Of the cluster; empty = `RAY_ADDRESS`, else the one that this machine belongs to. `local` starts one here."""
    num_cpus: float = Field(default=2, gt=0)
    """Processors of a task, or what the largest machine has where that is less."""
    num_gpus: float | None = Field(default=None, ge=0)
    """Graphics cards of a task; empty = one where the cluster has any."""
    memory: float = Field(default=0, ge=0)
    """Gigabytes that a task needs free to be started; 0 = any."""
    storage: PathName = ""
    """How files travel: empty = through Ray's object store; a folder that all machines see; or an fsspec URL."""
    attempts: int = Field(default=3, ge=1, le=20)
    """How often a unit is started whose machine or process was lost."""
