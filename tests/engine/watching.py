"""What the tests look at: processes of stubs, logs, nodes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def stubs(below: int = 0) -> dict[int, int]:
    """By process id of the running stubs on this machine the id of the process that started each.

    With ``below`` only those whose starter was started by that process.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            parent, state = parent_of(int(folder.name))
            if b"stub_worker" in command and state != "Z" and (not below or parent_of(parent)[0] == below):
                found[int(folder.name)] = parent
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
    return found


def parent_of(process: int) -> tuple[int, str]:
    """The id of the process that started one, and its state."""
    fields = (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[1]), fields[0]


def wait_until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What ``true`` gives as soon as that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing within {seconds:g} s")


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Lines of the logs of all folds."""
    logs = sorted(folder.glob("runs/*/fold-*/log.jsonl"))
    return [json.loads(line) for path in logs for line in path.read_text().splitlines()]


def epochs_of(folder: Path) -> int:
    """Epochs that stand in the histories of a project that is trained."""
    return sum(len(path.read_text().splitlines()) - 1 for path in folder.glob("runs/*/fold-*/history.csv"))


def nodes_of(cluster: Any) -> list[dict[str, Any]]:
    """The worker nodes of a cluster that live."""
    return [{"NodeID": node.node_id, "node": node} for node in cluster.worker_nodes]
