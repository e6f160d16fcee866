"""The laws of the cleaning plan on exact copies, contamination and conflicting labels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.config.sections import CleanConfig
from kit.errors import DataError
from kit.stages.clean.plan import STEPS, Plan, plan

CONFIGS = st.builds(
    CleanConfig,
    exact=st.sampled_from(["drop-copies", "group", "keep"]),
    near=st.sampled_from(["group", "drop-copies", "keep", "off"]),
    conflicting=st.sampled_from(["majority", "drop", "keep"]),
    contamination=st.booleans(),
)


def pictures(numbers, side=8):
    """One noise picture per number; equal numbers give equal pixels."""
    library = np.random.default_rng(0).integers(0, 256, (max(numbers, default=0) + 1, side, side, 3))
    return library[np.array(numbers, int)].astype(np.uint8)


def planned(numbers, labels, config=None, **kwargs) -> Plan:
    return plan(pictures(numbers), np.array(labels, np.int64), config or CleanConfig(), **kwargs)


@st.composite
def data(draw):
    numbers = draw(st.lists(st.integers(0, 9), max_size=60))
    labels = draw(st.lists(st.integers(-1, 3), min_size=len(numbers), max_size=len(numbers)))
    return numbers, labels


@given(data(), CONFIGS)
def test_kept_and_dropped_rows_partition_the_raw_ones(case, config):
    result = planned(*case, config)
    dropped = [finding.row for finding in result.dropped]
    assert sorted(result.keep.tolist() + dropped) == list(range(len(case[0])))
    assert result.keep.tolist() == sorted(result.keep.tolist())


@given(data(), CONFIGS)
def test_planning_on_what_was_kept_drops_nothing(case, config):
    keep = planned(*case, config).keep
    numbers, labels = np.array(case[0], int), np.array(case[1], int)
    assert planned(numbers[keep].tolist(), labels[keep].tolist(), config).dropped == ()


@given(data(), CONFIGS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(case, config, random):
    numbers, labels = (np.array(part, int) for part in case)
    order = np.array(random.sample(range(len(numbers)), len(numbers)), int)

    def outcome(numbers, labels):
        result = planned(numbers.tolist(), labels.tolist(), config)
        kept = list(zip(numbers[result.keep].tolist(), labels[result.keep].tolist(), strict=True))
        groups = {}
        for item, group in zip(kept, result.group.tolist(), strict=True):
            groups.setdefault(group, []).append(item)
        return Counter(tuple(sorted(group)) for group in groups.values())

    assert outcome(numbers, labels) == outcome(numbers[order], labels[order])


@given(data())
def test_groups_are_numbered_by_first_row(case):
    group = planned(*case, CleanConfig(exact="group")).group
    _, first = np.unique(group, return_index=True)
    assert (np.diff(first) > 0).all()
    assert sorted(set(group.tolist())) == list(range(len(first)))


@given(data())
def test_of_every_picture_without_contamination_one_image_stays(case):
    numbers, labels = np.array(case[0], int), np.array(case[1], int)
    keep = planned(*case, CleanConfig(contamination=False)).keep
    assert sorted(numbers[keep].tolist()) == sorted(set(numbers.tolist()))
    assert (labels[keep] < 0).sum() == sum((labels[numbers == n] < 0).all() for n in set(numbers.tolist()))


@settings(max_examples=30)
@given(data(), CONFIGS, st.dictionaries(st.integers(0, 59), st.sampled_from(["keep", "drop"])))
def test_a_persons_word_goes_before_every_rule(case, config, overrides):
    overrides = {row: action for row, action in overrides.items() if row < len(case[0])}
    result = planned(*case, config, overrides=overrides)
    for row, action in overrides.items():
        assert (row in result.keep) == (action == "keep")


def test_exact_copies_lose_all_but_the_first_row():
    result = planned([0, 1, 0, 0], [2, 1, 2, 2])
    assert result.keep.tolist() == [0, 1]
    assert [(f.row, f.reason, f.twin) for f in result.dropped] == [(2, "exact-copy", 0), (3, "exact-copy", 0)]


def test_grouped_copies_all_stay_and_share_a_group():
    result = planned([0, 1, 0, 2], [2, 1, 2, 0], CleanConfig(exact="group"))
    assert result.keep.tolist() == [0, 1, 2, 3]
    assert result.group.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(("policy", "kept"), [("majority", {(0, 1)}), ("drop", set()), ("keep", {(0, 1), (0, 0)})])
def test_conflicting_labels_follow_the_policy_and_are_always_listed(policy, kept):
    result = planned([0, 0, 0, 1], [0, 1, 1, 0], CleanConfig(conflicting=policy))
    assert {(0, [0, 1, 1, 0][row]) for row in result.keep if row < 3} == kept
    listed = {f.row for f in result.dropped + result.noted if f.detail == "label 0 x1, label 1 x2"}
    assert listed == {0, 1, 2}
    assert len(set(result.group.tolist())) == 2 - (not kept)


def test_a_tie_between_labels_goes_to_the_commoner_class():
    result = planned([0, 0, 1, 2], [0, 1, 1, 1])
    assert result.keep.tolist() == [1, 2, 3]


def test_a_labeled_copy_stays_before_an_unlabeled_one():
    assert planned([0, 0, 1], [-1, 3, 2]).keep.tolist() == [1, 2]


def test_a_picture_under_all_labels_is_dropped_whole():
    result = planned([0] * 8 + list(range(1, 9)), list(range(8)) * 2)
    assert result.keep.tolist() == list(range(8, 16))
    assert {(f.reason, f.detail) for f in result.dropped} == {("contamination", "8 copies under 8 labels")}
    assert all(f.twin != f.row and f.twin < 8 for f in result.dropped)


def test_a_cluster_far_larger_than_the_rest_is_dropped_whole():
    result = planned([0] * 40 + [1, 1, 2, 2, 3], [5] * 40 + [0, 0, 1, 1, 2])
    assert result.keep.tolist() == [40, 42, 44]


def test_a_class_sampled_twenty_times_is_no_contamination():
    result = planned([n for n in range(6) for _ in range(20)], [1] * 120)
    assert result.keep.tolist() == [0, 20, 40, 60, 80, 100]


def test_contamination_stays_where_it_is_switched_off():
    assert len(planned([0] * 40, [5] * 40, CleanConfig(contamination=False)).keep) == 1


def test_a_pinned_copy_becomes_the_representative():
    result = planned([0, 0, 1], [4, 4, 1], overrides={1: "keep"})
    assert result.keep.tolist() == [1, 2]


def test_a_pinned_label_wins_a_conflict():
    result = planned([0, 0, 0], [4, 4, 1], overrides={2: "keep"})
    assert result.keep.tolist() == [2]


def test_one_changed_pixel_makes_another_picture():
    images = np.repeat(pictures([0], 64), 2, axis=0)
    images[1, 3, 5, 0] ^= 1
    assert plan(images, np.zeros(2, np.int64), CleanConfig(near="keep")).keep.tolist() == [0, 1]


def test_every_step_is_announced():
    steps = []
    planned([0, 1], [0, 1], on_step=steps.append)
    assert steps == list(STEPS)


@pytest.mark.parametrize(
    ("images", "labels", "overrides"),
    [
        (np.zeros((2, 8, 8), np.uint8), np.zeros(2, int), {}),
        (np.zeros((2, 8, 8, 3), np.float32), np.zeros(2, int), {}),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros(3, int), {}),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, int), {2: "keep"}),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, int), {0: "maybe"}),
    ],
)
def test_arrays_and_overrides_that_do_not_fit_are_refused(images, labels, overrides):
    with pytest.raises(DataError):
        plan(images, labels, CleanConfig(), overrides=overrides)


def test_a_read_only_memmap_is_enough(tmp_path):
    np.save(tmp_path / "images.npy", pictures([0, 1, 0]))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert plan(images, np.zeros(3, np.int64), CleanConfig()).keep.tolist() == [0, 1]
