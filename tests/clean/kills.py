"""Kill a cleaning before every rename and every removal in turn, clean again, and say what came of it: ``kills.py
PROJECT SCRATCH``.

A program of its own, because it forks, which is safe only where no thread runs.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from kit.base.events import silent
from kit.config import load
from kit.stages.clean import decoded
from kit.stages.clean.clean import clean
from kit.store.layout import Layout

NEVER = 1 << 30
MOMENTS = ("os.rename", "os.remove")


def run(folder: Path, kill_at: int) -> tuple[int, int]:
    """Clean in a child that is killed at a moment; returns its exit code, 256 where it was killed, and its moments."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code, seen = 1, 0

        def hook(name: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if name in MOMENTS and str(arguments[0]).startswith(str(folder)):
                seen += 1
                if seen == kill_at:
                    os._exit(77)

        try:
            sys.addaudithook(hook)
            layout = Layout(folder)
            clean(layout, load(layout.config), silent)
            os.write(write, str(seen).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(said or 0)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of the project but for what has times in it, and what is left of a small file that was begun."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", ".digests.json")]
    files = [path for path in files if path.suffix != ".tmp" or path.parent.name == "images.shards"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main(project: Path, scratch: Path) -> None:
    decoded.BLOCK_BYTES = decoded.SHARD_BYTES = 1  # 8 pictures at a time, 32 a shard
    os.fsync = lambda descriptor: None  # it guards against a loss of power, not of the process
    whole = scratch / "whole"
    shutil.copytree(project, whole)
    code, moments = run(whole, NEVER)
    assert code == 0
    expected, trials = contents(whole), []
    for kill_at in range(1, moments + 1):
        folder = scratch / str(kill_at)
        shutil.copytree(project, folder)
        codes = [run(folder, kill_at)[0], run(folder, NEVER)[0]]
        found = contents(folder)
        other = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        trials.append({"codes": codes, "other": other})
        shutil.rmtree(folder)
    print(json.dumps(trials))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
