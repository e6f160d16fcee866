"""What a terminal shows while units are trained: the plan, the time left, one line a unit at 80 columns."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console as RichConsole

from kit.base.events import Event, duration
from kit.show.progress import Progress, Work, plan_lines, sparkline


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plan(units: dict[str, dict[str, Any]], **keys: Any) -> Event:
    epochs = {name: sum(unit["epochs"]) for name, unit in units.items()}
    return Event("plan", "", {"epochs": epochs, "units": units, "measured": True, "workers": 1, "rows": [], **keys})


def epoch(name: str, stage: int, number: int, accuracy: float = 0.5) -> Event:
    return Event("unit", name, {"event": "epoch", "stage": stage, "epoch": number, "valid_accuracy": accuracy})


def shown(width: int = 80, terminal: bool = False) -> tuple[Progress, Clock, io.StringIO]:
    stream, clock = io.StringIO(), Clock()
    console = RichConsole(file=stream, width=width, force_terminal=terminal, color_system=None)
    return Progress(console, clock), clock, stream


UNITS = {f"a fold {k}": {"epochs": [2, 4], "seconds": [10.0, 20.0], "around": 5.0} for k in range(2)}


def test_before_anything_is_done_the_time_left_is_the_plans_and_later_it_follows_the_pace() -> None:
    progress, clock, _ = shown()
    progress.update(plan(UNITS))
    assert progress._seconds_left() == 210
    clock.now = 80.0  # twice as slow as planned
    for number in range(2):
        progress.update(epoch("a fold 0", 0, number))
    progress.update(epoch("a fold 0", 1, 0))
    assert progress._seconds_left() == pytest.approx(2 * 170)


def test_two_at_a_time_are_planned_to_take_half() -> None:
    progress, _, _ = shown()
    progress.update(plan(UNITS, workers=2))
    assert progress._seconds_left() == 105


def test_what_was_done_before_a_kill_and_what_early_stopping_leaves_out_do_not_count_as_pace() -> None:
    progress, clock, _ = shown()
    progress.update(plan(UNITS))
    progress.update(Event("unit", "a fold 0", {"event": "resumed", "stage": 0, "epoch": 1}))
    clock.now = 20.0
    progress.update(epoch("a fold 0", 1, 0))  # one epoch of stage 0 was left out
    assert progress._seconds_left() == pytest.approx(210 - 40)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.1, 50)), min_size=1, max_size=4), st.data())
def test_work_that_goes_through_all_epochs_is_all_of_the_plan(stages: list[tuple[int, float]], data: Any) -> None:
    work = Work([n for n, _ in stages], [s for _, s in stages], around=3.0)
    for stage, (epochs, _) in enumerate(stages):
        for number in range(epochs):
            if data.draw(st.booleans()):
                work.move_to(stage, number + 0.5)
            work.move_to(stage, number + 1)
            assert work.epoch == sum(n for n, _ in stages[:stage]) + number + 1
    work.finish()
    assert work.worked == pytest.approx(work.total)
    assert work.at == work.total


def test_without_a_measurement_nothing_is_promised_before_the_first_step() -> None:
    progress, clock, stream = shown()
    progress.update(plan(UNITS, measured=False))
    assert progress._seconds_left() is None
    clock.now = 10.0
    progress.update(epoch("a fold 0", 0, 0))
    assert progress._seconds_left() == pytest.approx(200)
    assert stream.getvalue() == ""


def test_every_line_fits_into_80_columns_with_metric_and_curve() -> None:
    progress, clock, stream = shown(terminal=True)
    name = "efficientnetv2-b0-with-a-long-name fold 3"
    unit = {"epochs": [99, 999], "seconds": [1.0, 1.0], "around": 0.0}
    progress.update(plan({name: unit}))
    for number in range(60):
        clock.now += 1
        progress.update(epoch(name, 1, number, 0.5 + number / 200))
    progress.update(Event("unit", name, {"event": "step", "stage": 1, "epoch": 60, "step": 1, "steps": 4}))
    progress._live.refresh()  # type: ignore[union-attr]
    progress.stop()
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]", stream.getvalue())]
    lines = [line for line in drawn if "accuracy" in line]
    assert max(len(line.rstrip()) for line in drawn) <= 80
    assert any("fold 3" in line and "accuracy 0.795 ▁" in line and "159/1098" in line for line in lines)


def test_a_plan_says_seconds_of_steps_folds_and_all_within_80_columns() -> None:
    rows = [
        ["b0", 5, 12, 215, 0.21, 600.0, 3000.0],
        ["a-run-with-a-name-that-goes-on-and-on", 10, 500, 12345, 1.5, 9e5, 9e6],
    ]
    lines = plan_lines(rows, 9_003_000.0)
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split() == ["b0", "5", "12", "215", "0.210", "s", "10", "min", "50", "min"]
    assert lines[-1].startswith("all runs: at most 2500.8 h, done by ")
    assert plan_lines(rows, None) == []


def test_plain_output_tells_of_an_epoch_once_a_minute_and_of_every_fold() -> None:
    progress, clock, stream = shown()
    progress.update(plan(UNITS))
    for number in range(4):
        clock.now += 40
        progress.update(epoch("a fold 0", 1, number, 0.25 * number))
    progress.update(Event("unit", "a fold 0", {"event": "done", "kind": "fold"}))
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "a fold 0: epoch 4 of 6", "a fold 0: epoch 6 of 6", "a fold 0: accuracy 0.750 ▁▃▅█",
    ]  # fmt: skip
    assert ", 1 of 2, " in lines[-1]


def test_units_of_which_no_epoch_is_told_are_counted() -> None:
    progress, _, stream = shown()
    progress.update(Event("plan", "", {"epochs": {"a fold 0": 1, "a fold 1": 1}}))
    for name in ("a fold 0", "a fold 1"):
        progress.update(Event("unit", name, {"event": "done", "kind": "stress"}))
    assert stream.getvalue().splitlines() == ["a fold 0: stressed, 1 of 2", "a fold 1: stressed, 2 of 2"]


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_curve_has_its_lowest_and_highest_bars_where_the_values_are(values: list[float]) -> None:
    bars = sparkline(values)
    last = values[-12:]
    assert len(bars) == len(last)
    if max(last) > min(last):
        assert bars[last.index(min(last))] == "▁" and bars[last.index(max(last))] == "█"


def test_durations_are_said_as_a_person_would() -> None:
    assert [duration(s) for s in (3, 100, 3600, 7200)] == ["3 s", "2 min", "60 min", "2.0 h"]
