"""Units of work on networks: one process each, so that memory, seeds and threads of one cannot leak into the next.

`launch` starts them and waits, from the stage; `worker` is what the processes have in common.
"""

from kit.base.process import terminable
from kit.runs.units.launch import Launch, Processes, Unit, locked, run_units, unit_name, workers

__all__ = ["Launch", "Processes", "Unit", "locked", "run_units", "terminable", "unit_name", "workers"]
