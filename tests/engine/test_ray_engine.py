"""The same files from processes here and from tasks on clusters of one and of three nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from crashes import fingerprint
from watching import epochs_of, log_of, nodes_of, stubs

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]


@pytest.fixture(scope="module")
def one(make_cluster: Callable[[int], Any]) -> Any:
    return make_cluster(1)


def test_tasks_leave_the_files_that_processes_leave(project: Any, drive: Any, one: Any) -> None:
    here, there = project("here", ("a", "b")), project("there", ("a", "b"))
    drive(here).ended()
    ray = drive(there, one)
    ray.ended()
    assert fingerprint(there) == fingerprint(here)
    assert len(list(there.glob("runs/*/oof.npz"))) == 2
    assert not list(there.glob("runs/**/checkpoint-*"))
    assert len(ray.heard("done")) == 4


def test_where_a_task_ran_and_with_what_is_in_the_log_of_its_fold(project: Any, drive: Any, one: Any) -> None:
    folder = project()
    drive(folder, one).ended()
    logs = log_of(folder)
    placed = [line for line in logs if line["event"] == "placed"]
    workers = {node["NodeID"] for node in nodes_of(one)}
    assert len(placed) == 2 and {line["node"] for line in placed} <= workers
    for line in placed:
        assert line["host"] and line["device"] and line["attempt"] == 1 and line["engine"] == "ray"
        assert line["versions"].keys() >= {"kit", "python", "tensorflow", "keras", "numpy"}
    # The unit's own line comes along, and with it what `kit train` plans with the next time.
    assert sum(line["event"] == "done" and "stages" in line for line in logs) == 2


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_files_travel_through_a_folder_or_a_url_each_content_once(
    project: Any, drive: Any, one: Any, tmp_path: Path, kind: str
) -> None:
    here, there, storage = project("here", ("a", "b")), project("there", ("a", "b")), tmp_path / "storage"
    drive(here).ended()
    drive(there, one, storage=str(storage) if kind == "folder" else f"file://{storage}").ended()
    assert fingerprint(there) == fingerprint(here)
    stored = [path for path in (storage / "inputs").iterdir() if not path.name.startswith(".")]
    images = (there / "data" / "images.npy").read_bytes()
    assert [path.name for path in stored if path.read_bytes() == images] == [hashlib.sha256(images).hexdigest()]
    assert not [path for path in (storage / "outputs").rglob("*") if path.is_file()]
    before = {path.name: path.stat().st_mtime_ns for path in stored}
    for valid in there.glob("runs/*/fold-0/valid.npz"):
        valid.unlink()
    drive(there, one, storage=str(storage) if kind == "folder" else f"file://{storage}").ended()
    assert fingerprint(there) == fingerprint(here)
    assert {path.name: path.stat().st_mtime_ns for path in stored} == before


def test_a_second_call_does_only_what_is_missing(project: Any, drive: Any, one: Any) -> None:
    folder = project(runs=("a", "b"))
    drive(folder, one).ended()
    expected = fingerprint(folder)
    next(folder.glob("runs/b-*/fold-1/valid.npz")).unlink()
    again = drive(folder, one)
    again.ended()
    assert [line[1] for line in again.heard("done")][4:] == ["b fold 1"]
    assert fingerprint(folder) == expected


def test_a_mistake_is_reported_once_and_the_others_finish(project: Any, drive: Any, one: Any) -> None:
    folder = project(runs=("wrong", "a"))
    driver = drive(folder, one)
    out, err = driver.process.communicate(timeout=120)
    assert driver.process.returncode == 1, err
    assert out == "error: a mistake of the user\nhint: what mends it\n"
    assert len(list(folder.glob("runs/a-*/fold-*/valid.npz"))) == 2
    assert sum(line["event"] == "placed" for line in log_of(folder)) == 4


def test_no_cluster_and_no_room_are_errors_with_a_hint(project: Any, drive: Any, one: Any) -> None:
    folder = project()
    for keys, words in (
        ({"num_gpus": 4}, "no machine of the Ray cluster has 1 CPU, 4 GPU"),
        ({"memory": 1e6}, "no machine of the Ray cluster has 1 CPU, 1e+15 memory"),
    ):
        driver = drive(folder, one, **keys)
        out, err = driver.process.communicate(timeout=120)
        assert driver.process.returncode == 1 and words in out, out + err
    driver = drive(folder, SimpleNamespace(address="127.0.0.1:1"))
    out, err = driver.process.communicate(timeout=120)
    assert driver.process.returncode == 1, err
    assert out.startswith("error: no Ray cluster answers at 127.0.0.1:1") and "hint: ray start --head" in out


def test_what_is_asked_to_end_brings_its_checkpoints_home(project: Any, drive: Any, one: Any) -> None:
    here, there = project("here", epochs=6), project("there", epochs=6)
    drive(here).ended()
    ended = drive(there, one, end_after=3)
    out, err = ended.process.communicate(timeout=120)
    assert ended.process.returncode == 1 and "was stopped and has saved its state" in out, out + err
    assert not list(there.glob("runs/*/oof.npz")) and list(there.glob("runs/*/fold-*/checkpoint-*.npz"))
    assert not stubs()
    before = len(ended.heard("epoch"))
    drive(there).ended()  # on this machine, to the end
    assert fingerprint(there) == fingerprint(here)
    assert before >= 3 and len(ended.heard("epoch")) == epochs_of(here)


def test_a_cluster_is_started_for_one_command_where_that_is_asked_for(project: Any, drive: Any) -> None:
    here, there = project("here"), project("there")
    drive(here).ended()
    drive(there, SimpleNamespace(address="local")).ended()
    assert fingerprint(there) == fingerprint(here)
