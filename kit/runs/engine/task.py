"""The body of a task, on the machine that runs it: a process as on one's own machine, and what comes of it sent back.

A message is a dict with ``what``: `placed`, `reports`, `file` (followed by its pieces where the store streams), `gone`,
`log`, `ended`.
"""

import json
import os
import queue
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.runs.engine.sending import THREADS, Blob, Store, TaskSpec, changed, read_pieces, versions, write_pieces
from kit.runs.units.process import VARIABLE as CARDS
from kit.runs.units.process import nvidia_smi, processor, start
from kit.runs.units.worker import ReportLine
from kit.store.files import lock, sha256_file

# How long a request to end waits at most before it is passed on.
PATIENCE = 0.25
# Inputs that no task has asked for in so long are removed.
KEPT_SECONDS = 7 * 86400.0
PRIVATE = ("spec.json", "test-spec.json", "stress-spec.json", "log.jsonl", ".lock", "converted.bin")


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
        return ", ".join(nvidia_smi("--query-gpu=name", f"--id={cards}")) or f"card {cards}"
    return processor()


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


def machine_folder() -> Path:
    """Where tasks of this user keep files on this machine."""
    folder = Path(tempfile.gettempdir()) / f"kit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise KitError(f"{folder} belongs to another user", "export TMPDIR=/a/folder/of/your/own")
    return folder


@contextmanager
def task_folder(told: TaskSpec, store: Store) -> Iterator[Path]:
    """A project's folder that holds no more than the files that the task is told of; removed at the end."""
    own = machine_folder() / "units"
    tidy(own, machine_folder() / "inputs")
    folder = own / f"{os.getpid()}-{uuid.uuid4().hex}"
    try:
        for name, blob in told.inputs.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(kept(blob, store))
        (folder / told.folder).mkdir(parents=True, exist_ok=True)
        changed(told.description, root=str(folder)).save(folder / told.at)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kept(blob: Blob, store: Store) -> Path:
    """The file of a blob on this machine, where the store gives none written once and then shared by all tasks."""
    if isinstance(blob.handle, Path):
        return blob.handle
    path = machine_folder() / "inputs" / blob.sha256
    with lock(path.with_name(f"{path.name}.lock"), path.name, wait=True):
        if not path.exists() or path.stat().st_size != blob.size:
            write_pieces(path, store.pieces(blob.handle), blob.sha256)
        os.utime(path)
    return path


def tidy(units: Path, inputs: Path) -> None:
    """Remove what tasks left that were killed, and inputs that nobody has used for a week."""
    for folder in units.glob("*-*"):
        if not Path(f"/proc/{folder.name.split('-')[0]}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)
    for path in inputs.glob("*"):
        with suppress(FileNotFoundError):  # another task tidies too
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()


class Written:
    """What a unit wrote below ``runs/`` of its folder since it was last asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}

    def files(self, pattern: str = "*") -> list[str]:
        """Names of files that are new or changed, the records of what is done last."""
        found = []
        for path in sorted(self._folder.glob(f"runs/**/{pattern}"), key=lambda path: (path.suffix == ".json", path)):
            if path.is_symlink() or not path.is_file() or path.name in PRIVATE or path.name.endswith(".tmp"):
                continue
            name = str(path.relative_to(self._folder))
            with suppress(FileNotFoundError):  # a checkpoint that the unit no longer needs
                state = path.stat()
                mark = (state.st_ino, state.st_mtime_ns, state.st_size)
                if self._seen.get(name) != mark:
                    self._seen[name] = mark
                    found.append(name)
        return found

    def gone(self) -> list[str]:
        """Names of checkpoints that were there and are no longer."""
        return [name for name in self._seen if "checkpoint-" in name and not (self._folder / name).exists()]

    def logs(self) -> dict[str, str]:
        """What was appended to each log."""
        paths = self._folder.glob("runs/**/log.jsonl")
        return {str(path.relative_to(self._folder)): path.read_text(encoding="utf-8") for path in paths}
