"""``--max-hours`` leaves units for the next time, and calls nothing a failure that is none."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from test_cli import run

from kit.base.events import silent
from kit.errors import TrainingError
from kit.runs.units.launch import TimeLimit


class Units:
    """Each unit ends when it is asked to, like a process that saves its state; `quick` ones end at once."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.ran: list[str] = []

    def __call__(self, unit, emit) -> None:
        self.ran.append(unit.name)
        if unit.name.startswith("quick"):
            return
        if unit.name.startswith("broken") or self.asked.wait(30):
            raise TrainingError(f"{unit.name} ended")

    def end(self) -> None:
        self.asked.set()


def unit(name):
    return SimpleNamespace(name=name)


def test_a_running_unit_is_asked_to_end_and_later_ones_are_not_started():
    units = Units()
    with TimeLimit(0.2 / 3600, units) as limit:
        limit(unit("quick"), silent)
        limit(unit("slow"), silent)
        limit(unit("late"), silent)
    assert units.ran == ["quick", "slow"] and limit.left == ["slow", "late"]
    said = []
    limit.tell(said.append)
    assert "2 units left: late, slow" in said[0].text


def test_a_failure_within_the_time_is_a_failure():
    with TimeLimit(1, Units()) as limit, pytest.raises(TrainingError, match="broken ended"):
        limit(unit("broken"), silent)
    assert limit.left == []


def test_where_the_time_is_enough_nothing_is_asked_to_end_and_nothing_is_said():
    units, said = Units(), []
    with TimeLimit(1, units) as limit:
        limit(unit("quick 1"), silent)
        limit(unit("quick 2"), silent)
    limit.tell(said.append)
    assert said == [] and not units.asked.is_set()


def test_an_interrupted_command_ends_its_units():
    units = Units()
    with TimeLimit(1, units) as limit:
        limit.end()
    assert units.asked.is_set()


CONFIG = """
[data]
train = "digits"
[folds]
n = 2
[runs.a]
backbone = "two-conv-cnn"
stages = [{ train = "all", epochs = 1 }]
"""


@pytest.mark.stage
def test_a_blend_is_not_made_of_what_happens_to_be_done_in_time(make_project):
    folder = make_project(CONFIG)
    # Nothing is started after 0 h, so no network is built.
    done = run(folder, "ensemble", "--all", "--max-hours", "0")
    assert done.returncode == 1
    assert "2 units left: a fold 0, a fold 1" in " ".join(done.stderr.split())
    assert "error: the time limit was reached before all runs were trained; nothing was blended" in done.stderr
    assert "hint: kit ensemble --all   # continues where it stopped" in done.stderr
    assert not list(folder.glob("submissions/*/ensemble.json"))
    assert run(folder, "train", "--max-hours", "0").returncode == 0
    wrong = run(folder, "ensemble", "--max-hours", "1")
    assert wrong.returncode == 2 and "is only valid together with --all" in wrong.stderr
