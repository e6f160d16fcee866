"""The order of units against every other order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from kit.config import RunConfig
from kit.runs.spec import FoldSpec
from kit.runs.units import Unit
from kit.stages.train.plan import RunPlan, ordered


def spec(run: int) -> FoldSpec:
    digests = dict.fromkeys(("key", "data", "table", "weights"), "0" * 64)
    shape = {"fold": 0, "n": 1, "classes": 2, "size": 16}
    return FoldSpec(
        root="/project", run=f"r{run}", folds="folds", settings=RunConfig(backbone="two-conv-cnn"), **shape, **digests
    )


def started(seconds: Sequence[float]) -> list[int]:
    """Numbers of runs of one fold, of which that takes ``seconds``, in the order in which the kit starts them."""
    plans = [RunPlan([spec(run)], 1, (0.0,), (0.0,), around) for run, around in enumerate(seconds)]
    assert all(len(plan.epochs) == 1 and plan.fold_seconds == s for plan, s in zip(plans, seconds, strict=True))
    return [int(unit.spec.run[1:]) for unit in ordered([Unit("fold", plan.folds[0]) for plan in plans], plans)]


def makespan(seconds: Sequence[float], places: int) -> float:
    """When the last unit ends, if each starts in this order as soon as one of the places is free."""
    free = [0.0] * places
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


@given(seconds=st.lists(st.floats(1, 10), min_size=1, max_size=6), places=st.integers(1, 3))
def test_no_order_ends_much_earlier(seconds: list[float], places: int) -> None:
    order = started(seconds)
    assert sorted(order) == list(range(len(seconds)))
    shortest = min(makespan(other, places) for other in permutations(seconds))
    found = makespan([seconds[unit] for unit in order], places)
    assert found <= shortest * (4 / 3 - 1 / (3 * places)) * (1 + 1e-9)


def test_equal_units_stay_in_their_order() -> None:
    assert started([2.0] * 7) == list(range(7))
