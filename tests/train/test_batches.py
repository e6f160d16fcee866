"""Order, sampling and batches are functions of the seed, whoever prepares them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from kit.runs.batches import (
    EpochRows,
    batch_maker,
    class_weights,
    copy_numbers,
    epoch_order,
    prefetched,
    row_seeds,
    soft_labels,
)

LABELS = st.lists(st.integers(0, 3), min_size=4, max_size=60).map(lambda values: np.array(values, np.int64))


@given(LABELS, st.integers(0, 2**62))
def test_over_sampling_shows_every_row_and_every_class_alike(labels: Any, seed: int) -> None:
    rows = np.arange(0, len(labels), 2)
    order = epoch_order(labels, rows, "over", seed)
    counts = np.bincount(labels[order], minlength=4)
    present = np.unique(labels[rows])
    assert set(order) == set(rows)
    assert (counts[present] == np.bincount(labels[rows]).max()).all()
    for label in present:
        times = np.bincount(order, minlength=len(labels))[rows[labels[rows] == label]]
        assert times.max() - times.min() <= 1


@given(LABELS, st.integers(0, 2**62))
def test_under_sampling_shows_no_row_twice_and_every_class_alike(labels: Any, seed: int) -> None:
    rows = np.arange(len(labels))
    order = epoch_order(labels, rows, "under", seed)
    assert len(set(order)) == len(order)
    counts = np.bincount(labels[order])[np.unique(labels)]
    assert (counts == np.bincount(labels)[np.unique(labels)].min()).all()


@pytest.mark.parametrize("sampling", ["none", "over", "under"])
def test_an_order_is_a_function_of_its_seed(sampling: str) -> None:
    labels = np.arange(50) % 7 // 3
    first, again, other = (epoch_order(labels, np.arange(50), sampling, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_copies_of_a_row_are_numbered_in_order(order: list[int]) -> None:
    expected = [order[:n].count(row) for n, row in enumerate(order)]
    assert copy_numbers(np.array(order, np.int64)).tolist() == expected


def test_no_two_rows_or_copies_share_a_seed() -> None:
    rows = np.arange(50_000)
    keys = np.concatenate([rows, rows + (1 << 40), rows + (2 << 40)])
    assert len(np.unique(row_seeds(7, keys), axis=0)) == len(keys)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_prepares_the_same_batches(workers: int) -> None:
    def augment(inputs: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
        return inputs + seeds[:, :1] % 7, labels

    order = epoch_order(np.arange(40) % 3 // 2, np.arange(40), "over", 3)
    rows = EpochRows(np.arange(40.0)[:, None], np.eye(40, dtype=np.float32), order)
    make = batch_maker(rows, 8, 3, augment)
    alone = [make(step) for step in range(5)]
    for (inputs, labels), (expected, soft) in zip(prefetched(make, range(5), workers), alone, strict=True):
        assert (inputs == expected).all()
        assert (labels == soft).all()
    later = list(prefetched(make, range(3, 5), workers))
    assert (later[0][0] == alone[3][0]).all()


def test_an_error_of_a_worker_is_raised_where_the_batch_is_taken() -> None:
    def fail(step: int) -> int:
        if step == 3:
            raise ValueError("broken image")
        return step

    taken = []
    with pytest.raises(ValueError, match="broken image"):
        taken += list(prefetched(fail, range(6)))
    generator = prefetched(fail, range(6))
    assert [next(generator) for _ in range(3)] == [0, 1, 2]


@settings(deadline=None)
@given(LABELS)
def test_balanced_weights_are_those_of_scikit_learn(labels: Any) -> None:
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels) * len(present) / 4
    assert np.allclose(class_weights(np.eye(4, dtype=np.float32)[labels], 4, "balanced")[present], expected)


@given(LABELS, st.floats(0, 0.9))
def test_soft_labels_sum_to_one_and_keep_their_largest(labels: Any, smoothing: float) -> None:
    soft = soft_labels(np.eye(4, dtype=np.float32)[labels], 4, smoothing)
    assert np.allclose(soft.sum(axis=1), 1, atol=1e-6)
    assert (soft.argmax(axis=1) == labels).all()
