"""Clusters of several nodes on this machine, and projects of stubs that are trained on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "train")]

CONFIG = """
[data]
train = "small.npz"
[folds]
n = 2
[train]
workers = 1
"""
RUN = """
[runs.{name}]
backbone = "plain-cnn"
views = ["identity"]
batch_size = 16
seed = {seed}
stages = [
  {{ train = "all", epochs = {epochs}, lr = 0.5, early_stopping = {{ patience = 2, metric = "accuracy" }} }},
  {{ train = "all", epochs = {epochs}, lr = 0.5, schedule = {{ kind = "plateau", patience = 1 }} }},
]
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What drivers and nodes are started with."""
    paths = [str(HERE), str(HERE.parent / "train"), str(HERE.parent.parent)]
    own = {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}
    own["STUB_GATE"] = str(tmp_path_factory.mktemp("gate") / "closed")
    # Ray's sockets need a short path, the tasks' files one that is cleared away.
    return {**os.environ, **own, "RAY_TMPDIR": "/tmp", "TMPDIR": str(tmp_path_factory.mktemp("machine"))}


@pytest.fixture(scope="module")
def make_cluster(environment: dict[str, str]) -> Iterator[Callable[[int], Any]]:
    """Starts a cluster of a head without processors and some nodes of one processor each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    started: list[Any] = []
    before = dict(os.environ)
    os.environ.update(environment)

    def make(nodes: int) -> Any:
        memory = {"object_store_memory": 100 << 20, "include_dashboard": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
        started.append(cluster)
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, object_store_memory=100 << 20, wait=False)
        cluster.wait_for_nodes()
        return cluster

    try:
        yield make
    finally:
        for cluster in started:
            cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def project(make_project: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a project of noisy pictures with the named runs, cleaned and split."""

    def make(name: str = "project", runs: tuple[str, ...] = ("a",), epochs: int = 2) -> Path:
        from kit.project import Project

        tables = [RUN.format(name=run, seed=number, epochs=epochs) for number, run in enumerate(runs)]
        folder = make_project(CONFIG + "".join(tables), name)
        rng = np.random.default_rng(0)
        labels = (np.arange(90) % 3 == 0).astype(np.int64)
        images = rng.integers(0, 120, (90, 16, 16, 3), dtype=np.uint8)
        images[labels == 1, 4:12, 4:12] += 60
        np.savez(folder / "small.npz", images=images, labels=labels)
        Project(folder).folds()
        return folder

    return make


class Drive:
    """A driver: a process that trains a project, and what it has said so far."""

    def __init__(self, folder: Path, environment: dict[str, str], keys: dict[str, Any]) -> None:
        self.events = folder.parent / f"events-{folder.name}.jsonl"
        command = [sys.executable, str(HERE / "drive.py"), str(folder), str(self.events), json.dumps(keys)]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def heard(self, event: str = "") -> list[Any]:
        """Events of units of that kind, all drivers of the project together; all events where none is named."""
        lines = [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []
        return [line for line in lines if not event or (line[0] == "unit" and line[2]["event"] == event)]

    def ended(self) -> str:
        """Wait for its end without an error; returns what it printed."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, out + err
        return out + err


@pytest.fixture
def gate(environment: dict[str, str]) -> Iterator[Path]:
    """Where a file keeps all units from beginning a third epoch until it is removed; see `stub_worker`."""
    path = Path(environment["STUB_GATE"])
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def drive(environment: dict[str, str]) -> Iterator[Callable[..., Drive]]:
    started: list[Drive] = []

    def start(folder: Path, cluster: Any = None, **keys: Any) -> Drive:
        keys = {"name": "local" if cluster is None else "ray", **keys}
        if cluster is not None:
            keys["address"] = cluster.address
        started.append(Drive(folder, environment, keys))
        return started[-1]

    yield start
    for one in started:
        if not one.process.stdout.closed:  # nobody has waited for its end
            one.process.kill()
            one.process.communicate()
