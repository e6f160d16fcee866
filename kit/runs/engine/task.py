"""The body of a task, on the machine that runs it: a process as on one's own machine, and what comes of it sent back.

A message is a dict with ``what``: `placed`, `reports`, `file` (followed by its pieces where the store streams), `gone`,
`log`, `ended`.
"""

import json
import os
import queue
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.runs.engine.stores import Store, read_pieces
from kit.runs.engine.task_folder import Written, task_folder
from kit.runs.engine.task_spec import THREADS, TaskSpec, versions
from kit.runs.units.devices import VARIABLE as CARDS
from kit.runs.units.process import start
from kit.runs.units.worker import ReportLine
from kit.store.files import sha256_file

# How long a request to end waits at most before it is passed on.
PATIENCE = 0.25


def perform(told: TaskSpec, store: Store, asked: Callable[[], bool], node: str) -> Iterator[Any]:
    """Run the unit of ``told``; gives messages and the pieces of files.

    ``asked`` says whether tasks should save their state and end; the cluster calls this machine ``node``.
    """
    yield {"what": "placed", "node": node, "host": os.uname().nodename, "device": device(), "versions": versions()}
    try:
        with task_folder(told, store) as folder:
            yield from _run(told, store, asked, folder)
    except KitError as error:
        message = f"{error.message} (on {os.uname().nodename})"
        said = {"type": type(error).__name__, "message": message, "hint": error.hint}
        yield {"what": "ended", "code": 1, "said": said}


def device() -> str:
    """The graphics cards that a task was given, else the processor."""
    cards = os.environ.get(CARDS, "")
    if cards and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={cards}"]
        listed = subprocess.run(query, capture_output=True, text=True, check=False)
        return ", ".join(listed.stdout.split("\n")).strip(", ") or f"card {cards}"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def _run(told: TaskSpec, store: Store, asked: Callable[[], bool], folder: Path) -> Iterator[Any]:
    written = Written(folder)
    errors = folder / told.folder / "stderr.txt"
    said: ReportLine = {}
    environment = {name: value for name, value in os.environ.items() if name != THREADS}
    environment |= {} if told.threads is None else {THREADS: told.threads}
    environment |= {} if told.cards else {CARDS: ""}
    with start(told.module, told.kind, folder / told.at, errors, environment) as process:
        for lines in heard(process, asked):
            reports = [json.loads(line) for line in lines]
            said = next((line for line in reports if line["event"] == "error"), said)
            if any(line["event"] == "epoch" for line in reports):
                # Before the report: what is told of is saved, so that nothing of it is done again.
                yield from sent(folder, written.files("checkpoint-*.npz")[-1:], store)
            if reports:
                yield {"what": "reports", "reports": reports}
    for name, text in written.logs().items():
        yield {"what": "log", "path": name, "text": text}
    yield from sent(folder, written.files(), store)
    if process.returncode == 0:
        had = [name for name in told.inputs if "checkpoint-" in name and not (folder / name).exists()]
        yield {"what": "gone", "paths": [*had, *written.gone()]}
    yield {"what": "ended", "code": process.returncode, "said": said}


def heard(process: Any, asked: Callable[[], bool]) -> Iterator[list[str]]:
    """Lines of the process in the batches that they come in; asks it to end once when that is wanted."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    told = over = False
    while not over:
        if not told and asked():
            process.terminate()
            told = True
        batch: list[str] = []
        with suppress(queue.Empty):  # all that is there, after a little patience
            line = lines.get(timeout=PATIENCE)
            while line is not None:
                batch.append(line)
                line = lines.get_nowait()
            over = True
        yield batch


def sent(folder: Path, names: list[str], store: Store) -> Iterator[Any]:
    """The messages of files of a folder, and where the store streams their pieces; what is gone is left out."""
    attempt = uuid.uuid4().hex
    for name in names:
        copy = folder / f"sent-{attempt}"
        try:
            # What is at that name may be replaced while it is sent; the link keeps what was there.
            os.link(folder / name, copy)
        except FileNotFoundError:
            continue
        try:
            sha = sha256_file(copy)
            handle = None if store.streams else store.put(copy, f"outputs/{attempt}/{sha}")
            yield {"what": "file", "path": name, "sha256": sha, "size": copy.stat().st_size, "handle": handle}
            if store.streams:
                yield from read_pieces(copy)
        finally:
            copy.unlink()
