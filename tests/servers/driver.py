"""Runs `kit submit` in children that are killed at a chosen moment, or eight at once.

``python driver.py kill PROJECT KILL_AT``: a child that dies by SIGKILL at its KILL_AT-th write or request (0 = lives),
then one that lives; prints how both ended and how many such moments there were.
``python driver.py race PROJECT N``: N children that start together.
``python driver.py sweep PROJECT FIRST LAST [STEP]``: `kill` at the moments of a range, each in a copy of the project.
``python driver.py switched PROJECT FIRST LAST``: the same, and the site begins a new phase after each death.
``python driver.py once PROJECT``: one `kit submit` in this process, for those who kill it themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path

# Instead of this folder, where a module is called as the official package is.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).parents[1]))

from kit.base.events import silent
from kit.config import load
from kit.errors import KitError
from kit.platforms import Waits
from kit.stages.submit import submit
from kit.store.layout import Layout
from kit.store.ledger import attempts, latest, load_submissions

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OTHERS = {"os.rename", "os.remove", "http.client.connect", "http.client.send"}


def watch(kill_at: int) -> list[int]:
    """Count writes and requests from now on, and stand still before the ``kill_at``-th."""
    count = [0]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in OTHERS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
            count[0] += 1
            if count[0] == kill_at:
                os.kill(os.getpid(), signal.SIGSTOP)

    sys.addaudithook(hook)
    return count


def run(folder: Path) -> str:
    """One `kit submit` in this process; how it ended."""
    layout = Layout(folder)
    paths = latest(layout)
    assert paths is not None
    pauses: list[float] = []  # the clock goes with them
    waits = Waits(connect=2, read=10, tries=2, sleep=pauses.append, clock=lambda: time.time() + sum(pauses))
    try:
        submit(layout, load(layout.config), paths, silent, waits=waits)
    except KitError as error:
        return f"error: {error.message}"
    return "done"


def child(folder: Path, kill_at: int = 0, gate: int | None = None) -> tuple[int, int]:
    """Start one in a process of its own; the process, and a pipe that says how it ended."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    if gate is not None:
        os.read(gate, 1)
    count = watch(kill_at)
    ended = run(folder)
    os.write(writing, json.dumps({"ended": ended, "moments": count[0]}).encode())
    os._exit(0)


def collect(started: tuple[int, int]) -> dict[str, object]:
    """How a child ended; one that stands still is killed, so that it cannot prepare for it."""
    process, reading = started
    _, status = os.waitpid(process, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    return json.loads(text) if text else {"ended": "killed", "moments": 0}


def kill(folder: Path, kill_at: int, between: str = "created") -> dict[str, object]:
    first = collect(child(folder, kill_at))
    asked(folder, between)
    second = collect(child(folder))
    states = [attempt.state for attempt in attempts(load_submissions(Layout(folder)))]
    return {"at": kill_at, "first": first, "second": second["ended"], "states": states}


def sweep(folder: Path, first: int, last: int, step: int = 1, between: str = "created") -> list[dict[str, object]]:
    """Every moment, or some; the site forgets everything in between."""
    found = []
    for moment in range(first, last + 1, step):
        copy = folder.with_name(f"{folder.name}-{moment}")
        shutil.copytree(folder, copy)
        asked(copy, "forget")
        result = kill(copy, moment, between)
        result["created"] = json.loads(asked(copy, "created"))
        found.append(result)
    return found


def switched(folder: Path, first: int, last: int, step: int = 1) -> list[dict[str, object]]:
    return sweep(folder, first, last, step, "switch")


def asked(folder: Path, what: str) -> bytes:
    return urllib.request.urlopen(f"{load(folder / 'kit.toml').competition.url}/{what}").read()


def race(folder: Path, number: int) -> list[object]:
    reading, writing = os.pipe()
    started = [child(folder, gate=reading) for _ in range(number)]
    os.write(writing, b"x" * number)
    return [collect(process)["ended"] for process in started]


def once(folder: Path) -> str:
    return run(folder)


def preload(folder: Path) -> None:
    """What every child would import anew."""
    if load(folder / "kit.toml").competition.platform == "kaggle":
        from kit.platforms.kaggle_api import client_class

        client_class()


if __name__ == "__main__":
    command, where, *numbers = sys.argv[1:]
    preload(Path(where))
    made = {"kill": kill, "race": race, "sweep": sweep, "switched": switched, "once": once}[command](
        Path(where), *map(int, numbers)
    )
    sys.stdout.write(json.dumps(made) + "\n")
