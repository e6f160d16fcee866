"""The order of units against every other order, and against what no order beats."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.train.order import best_order, first_fit, makespan

seconds_of = st.lists(st.floats(0.1, 100), max_size=30)


@given(seconds=seconds_of, places=st.integers(1, 8))
def test_an_order_names_every_unit_once_and_never_ends_after_longest_first(seconds: list[float], places: int) -> None:
    order = best_order(seconds, places)
    assert sorted(order) == list(range(len(seconds)))
    longest_first = makespan(sorted(seconds, reverse=True), places)
    assert makespan([seconds[unit] for unit in order], places) <= longest_first * (1 + 1e-9)


@given(seconds=st.lists(st.floats(1, 10), min_size=1, max_size=6), places=st.integers(1, 3))
def test_no_order_ends_much_earlier(seconds: list[float], places: int) -> None:
    shortest = min(makespan(order, places) for order in permutations(seconds))
    found = makespan([seconds[unit] for unit in best_order(seconds, places)], places)
    assert found <= shortest * (4 / 3 - 1 / (3 * places)) * (1 + 1e-9)


@given(seconds=seconds_of, places=st.integers(1, 8), capacity=st.floats(1, 500))
def test_units_started_in_the_order_of_a_packing_end_within_its_capacity(
    seconds: list[float], places: int, capacity: float
) -> None:
    ordered = sorted(seconds, reverse=True)
    found = first_fit(ordered, places, capacity)
    if found is None:
        assert not seconds or max(seconds) > capacity or sum(seconds) > capacity
    else:
        assert makespan([ordered[unit] for unit in found], places) <= capacity * (1 + 1e-9)


def test_a_packing_is_taken_where_longest_first_is_known_to_be_poor() -> None:
    # Graham's example: longest first ends at 11, three pairs and a triple at 9.
    seconds = [5.0, 5, 4, 4, 3, 3, 3]
    assert makespan(sorted(seconds, reverse=True), 3) == 11
    assert makespan([seconds[unit] for unit in best_order(seconds, 3)], 3) == 9


@pytest.mark.parametrize("places", [1, 3, 5])
def test_equal_units_stay_in_their_order(places: int) -> None:
    assert best_order([2.0] * 7, places) == list(range(7))
