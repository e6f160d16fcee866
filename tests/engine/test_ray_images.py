"""Images that are kept as streams or files come to each machine of a cluster once, however many units it runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from crashes import fingerprint
from PIL import Image
from watching import log_of

from kit.store.encoded import open_images
from kit.store.files import sha256_file

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]


class Copies(threading.Thread):
    """Looks at the inputs that tasks keep below a folder, and counts the copies of each that were written there."""

    def __init__(self, machine: Path) -> None:
        super().__init__(daemon=True)
        self.over, self._machine = threading.Event(), machine
        self._held: dict[tuple[str, int], IO[bytes]] = {}

    def run(self) -> None:
        while not self.over.wait(0.02):
            for path in self._machine.glob("kit-*/inputs/[0-9a-f]*[0-9a-f]"):
                if (path.name, path.stat().st_ino) not in self._held:
                    file = path.open("rb")  # while it is open, no other file has its number
                    self._held[path.name, os.fstat(file.fileno()).st_ino] = file

    def written(self) -> Counter[str]:
        """How many copies there were of each content, by its SHA-256."""
        self.over.set()
        self.join()
        for file in self._held.values():
            file.close()
        return Counter(name for name, _ in self._held)


@pytest.fixture
def pictures(make_project: Callable[..., Path]) -> Callable[[str], Path]:
    """Writes a project of two runs whose pictures stay files in part; the others are streams of a shard."""

    def make(name: str) -> Path:
        from conftest import CONFIG, RUN

        from kit.project import Project

        keys = 'train = "raw"\nimage_size = 16\nstore = "files"'
        runs = "".join(RUN.format(name=run, seed=seed, epochs=2) for seed, run in enumerate("ab"))
        folder = make_project(CONFIG.replace('train = "small.npz"', keys) + runs, name)
        rng = np.random.default_rng(0)
        for row in range(90):
            pixels = rng.integers(0, 120, (16 if row % 3 else 24, 16, 3), dtype=np.uint8) + 60 * (row % 2)
            path = folder / "raw" / "ab"[row % 2] / f"{row:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
        Project(folder).folds()
        return folder

    return make


def test_shards_and_files_travel_once_to_each_node_and_not_at_all_where_a_folder_is_shared(
    pictures: Any, drive: Any, make_cluster: Any, tmp_path: Path
) -> None:
    here = pictures("here")
    drive(here).ended()
    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        machine.mkdir()
    cluster = make_cluster(0)
    for machine in machines:
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20, env_vars={"TMPDIR": str(machine)})
    shard = sha256_file(here / "data/images.shards/00000.bin")
    files = hashlib.sha256(b"".join(open_images(here / "data/images.npy").contents())).hexdigest()
    for storage in ("", str(tmp_path / "storage")):
        there, copies = pictures(f"there {bool(storage)}"), [Copies(machine) for machine in machines]
        for each in copies:
            each.start()
        drive(there, cluster, storage=storage).ended()
        written = [each.written() for each in copies]
        assert fingerprint(there) == fingerprint(here)
        nodes = Counter(line["node"] for line in log_of(there) if line["event"] == "placed")
        assert nodes.total() == 4 and len(nodes) == 2
        assert [(each[shard], each[files]) for each in written] == [(0, 0) if storage else (1, 1)] * 2
        for machine in machines:
            shutil.rmtree(machine / f"kit-{os.getuid()}", ignore_errors=True)
