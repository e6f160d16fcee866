"""The folder of one task on the machine that runs it: its inputs as links, and what it wrote."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kit.errors import KitError
from kit.runs.engine.stores import Blob, Store, write_pieces
from kit.runs.engine.task_spec import TaskSpec, changed
from kit.store.locks import lock

# Inputs that no task has asked for in so long are removed.
KEPT_SECONDS = 7 * 86400.0
PRIVATE = ("spec.json", "test-spec.json", "stress-spec.json", "log.jsonl", ".lock")


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
    place = store.place(blob.handle)
    if place is not None:
        return place
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
