"""``[engine]``: where the units of training run."""

from typing import Literal

from pydantic import Field

from kit.config.base import ConfigSection, PathName


class EngineConfig(ConfigSection):
    """``[engine]``: the machines that units of training run on. No key changes a result."""

    name: Literal["local", "ray"] = "local"
    """`local`: processes on this machine. `ray`: tasks on a Ray cluster."""
    address: str = ""
    """Address of the cluster. Empty: `RAY_ADDRESS`, or else the cluster of this machine. `local`: start one here."""
    num_cpus: float = Field(default=2, gt=0)
    """CPUs per task. If no machine has that many, the number of the largest machine is used."""
    num_gpus: float | None = Field(default=None, ge=0)
    """GPUs per task. Not set: 1 if the cluster has GPUs, else 0."""
    memory: float = Field(default=0, ge=0)
    """Gigabytes of memory that must be free to start a task. 0: no requirement."""
    storage: PathName = ""
    """How files are transferred. Empty: Ray's object store. Else a folder that all machines share, or an fsspec URL."""
    attempts: int = Field(default=3, ge=1, le=20)
    """How often a unit is started if its machine or process is lost."""
