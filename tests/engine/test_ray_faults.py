"""Whatever dies meanwhile, the same files in the end, and at most one epoch of a task done twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from crashes import fingerprint
from watching import epochs_of, log_of, stubs, wait_until

pytestmark = [pytest.mark.matrix, pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")]


@pytest.fixture(scope="module")
def trained() -> dict[str, Path]:
    """Projects that were trained here, by what they were made with."""
    return {}


@pytest.fixture(scope="module")
def three(make_cluster: Callable[[int], Any]) -> Any:
    return make_cluster(3)


@pytest.fixture
def pair(project: Any, drive: Any, trained: dict[str, Path]) -> Callable[..., tuple[Path, Path]]:
    """A project that was trained here, and its twin that is not trained yet."""

    def make(**keys: Any) -> tuple[Path, Path]:
        if str(keys) not in trained:
            here = project("here", **keys)
            drive(here).ended()
            trained[str(keys)] = here
        return trained[str(keys)], project("there", **keys)

    return make


def test_three_nodes_leave_the_files_of_one_machine(pair: Any, drive: Any, three: Any) -> None:
    here, there = pair(runs=("a", "b"))
    drive(there, three).ended()
    assert fingerprint(there) == fingerprint(here)
    assert len({line["node"] for line in log_of(there) if line["event"] == "placed"}) > 1


@pytest.mark.slow  # Ray starts workers anew, which takes a minute on a busy machine
def test_a_killed_worker_is_replaced_from_its_last_checkpoint(pair: Any, gate: Path, drive: Any, three: Any) -> None:
    here, there = pair(epochs=5)
    gate.touch()
    driver = drive(there, three)
    wait_until(lambda: len(driver.heard("epoch")) == 4)  # two of each of the two folds
    process, worker = wait_until(lambda: list(stubs().items()))[0]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: process not in stubs())  # it does not live on
    gate.unlink()
    driver.ended()
    assert fingerprint(there) == fingerprint(here)
    lost = [line for line in log_of(there) if line["event"] == "lost"]
    assert len(lost) == 1 and "WorkerCrashedError" in lost[0]["why"]
    assert len(driver.heard("epoch")) <= epochs_of(here) + 1


@pytest.mark.slow
def test_what_the_system_kills_for_want_of_memory_goes_on_elsewhere(pair: Any, drive: Any, three: Any) -> None:
    here, there = pair(runs=("a",), epochs=4)
    text = (here / "kit.toml").read_text().replace("runs.a", "runs.fragile")
    (there / "kit.toml").write_text(text)
    driver = drive(there, three)
    driver.ended()
    for ours, theirs in zip(
        sorted(there.glob("runs/*/*/valid.npz")), sorted(here.glob("runs/*/*/valid.npz")), strict=True
    ):
        assert ours.read_bytes() == theirs.read_bytes()
    assert len(driver.heard("epoch")) <= epochs_of(here) + 2
    placed = [(line["attempt"], line["node"]) for line in log_of(there) if line["event"] == "placed"]
    assert [attempt for attempt, _ in placed] == [1, 2, 1, 2]
    assert placed[0][1] != placed[1][1] and placed[2][1] != placed[3][1]


@pytest.mark.slow
def test_a_task_that_fails_three_times_is_reported_and_the_others_finish(project: Any, drive: Any, three: Any) -> None:
    folder = project(runs=("doomed", "a"))
    driver = drive(folder, three)
    out, err = driver.process.communicate(timeout=120)
    assert driver.process.returncode == 1, err
    assert "was lost 3 times; the last reason: run `doomed` does not fit into memory" in out
    assert len(list(folder.glob("runs/a-*/fold-*/valid.npz"))) == 2
    assert sum(line["event"] == "lost" for line in log_of(folder)) == 6


def test_a_killed_driver_leaves_nothing_running_and_the_next_one_goes_on(pair: Any, drive: Any, three: Any) -> None:
    here, there = pair(epochs=5)
    driver = drive(there, three)
    wait_until(lambda: len(driver.heard("epoch")) >= 4)
    os.killpg(driver.process.pid, signal.SIGKILL)
    driver.process.communicate()
    wait_until(lambda: not stubs())
    again = drive(there, three)
    again.ended()
    assert fingerprint(there) == fingerprint(here)
    assert len(again.heard("epoch")) <= epochs_of(here) + 2  # an epoch of each of the two folds
    assert again.heard("resumed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_is_asked_to_end_repeats_nothing(pair: Any, drive: Any, three: Any, number: int) -> None:
    here, there = pair(epochs=5)
    driver = drive(there, three)
    wait_until(lambda: len(driver.heard("epoch")) >= 3)
    os.kill(driver.process.pid, number)
    driver.process.communicate(timeout=60)
    assert driver.process.returncode != 0 and not stubs()
    again = drive(there, three)
    again.ended()
    assert fingerprint(there) == fingerprint(here)
    assert len(again.heard("epoch")) == epochs_of(here)


@pytest.mark.slow  # Ray starts workers anew, which takes a minute on a busy machine
def test_a_lost_node_costs_an_epoch_at_most(pair: Any, gate: Path, drive: Any, three: Any) -> None:
    here, there = pair(epochs=5)
    gate.touch()
    driver = drive(there, three)
    wait_until(lambda: len(driver.heard("epoch")) == 4)
    busy = {line["node"] for line in log_of(there) if line["event"] == "placed"}
    node = next(node for node in list(three.worker_nodes) if node.node_id in busy)
    three.remove_node(node, allow_graceful=False)
    gate.unlink()
    driver.ended()
    assert fingerprint(there) == fingerprint(here)
    lost = [line for line in log_of(there) if line["event"] == "lost"]
    assert {line["node"] for line in lost} <= {node.node_id}
    assert len(driver.heard("epoch")) <= epochs_of(here) + len(lost)
