"""Crash a training at every write in turn, continue it, and say what came of it: ``crashes.py PROJECT SCRATCH``.

A program of its own, because it forks, which is safe only where TensorFlow is not loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from stub import InProcess

from kit.base.events import Event
from kit.config import load
from kit.stages.train.train import train
from kit.store.layout import Layout

LAST = 10_000
CODE = 77


def fingerprint(folder: Path) -> dict[str, str]:
    """Hashes of all that a training leaves, but for times."""
    files = [path for path in sorted((folder / "runs").rglob("*")) if path.is_file()]
    kept = [path for path in files if path.name not in ("log.jsonl", ".lock", "stderr.txt", "test-spec.json")]
    return {str(path.relative_to(folder)): digest(path) for path in kept}


def digest(path: Path) -> str:
    text = path.read_bytes()
    # A specification names the project's own folder.
    return hashlib.sha256(b"spec" if path.name == "spec.json" else text).hexdigest()


def run(folder: Path, crash_at: int, moment: str) -> tuple[int, int, int]:
    """Train in a child that dies at a write; returns its exit code, its writes and its epochs."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            counts = {"writes": 0, "epochs": 0}
            replace = os.replace

            def counted(source: Any, target: Any, **keys: Any) -> None:
                counts["writes"] += 1
                if counts["writes"] == crash_at and moment == "before":
                    leave(CODE)
                replace(source, target, **keys)
                if counts["writes"] == crash_at:
                    leave(CODE)

            def leave(with_code: int) -> None:
                os.write(write, json.dumps(counts).encode())
                os._exit(with_code)

            def hear(event: Event) -> None:
                counts["epochs"] += event.kind == "unit" and event.data["event"] == "epoch"

            os.replace = counted
            os.fsync = lambda descriptor: None  # it guards against a loss of power, not of the process
            layout = Layout(folder)
            train(layout, load(layout.config), hear, launch=InProcess(), pictures=False)  # they take a second a run
            leave(0)
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = json.loads(pipe.read() or '{"writes": 0, "epochs": 0}')
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said["writes"], said["epochs"]


def main(project: Path, scratch: Path) -> None:
    whole = scratch / "whole"
    shutil.copytree(project, whole)
    code, writes, epochs = run(whole, LAST, "")
    assert code == 0
    expected, trials = fingerprint(whole), []
    for moment in ("before", "after"):
        for crash_at in range(1, writes + 1):
            folder = scratch / f"{moment}-{crash_at}"
            shutil.copytree(project, folder)
            crashed, _, before = run(folder, crash_at, moment)
            continued, _, after = run(folder, LAST, "")
            trials.append(
                {
                    "where": [moment, crash_at],
                    "codes": [crashed, continued],
                    "same": fingerprint(folder) == expected,
                    "repeated": before + after - epochs,
                }
            )
            shutil.rmtree(folder)
    print(json.dumps({"writes": writes, "epochs": epochs, "trials": trials}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
