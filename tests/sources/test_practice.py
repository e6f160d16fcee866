"""Laws of the practice competition."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import DataError
from kit.images.sources import practice
from kit.images.sources.practice.draws import SISTER, TEST_SHARES, TRAIN_SHARES
from kit.images.sources.practice.plant import COPIES, CORRUPTIONS

pytestmark = pytest.mark.matrix

LABELS_LIE = ("conflicting", "foreign-all-labels", "foreign-one-label", "noisy-label")


@pytest.fixture(scope="module")
def data() -> practice.Practice:
    return practice.make()


def rows_of(data: practice.Practice, *kinds: str) -> np.ndarray:
    return np.array([p.row for p in data.planted if p.kind in kinds], int)


def digest(data: practice.Practice) -> str:
    arrays = (data.images, data.labels, data.test_images, data.test_labels)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays) + repr(data.planted).encode()).hexdigest()


def untouched(data: practice.Practice) -> np.ndarray:
    return np.setdiff1d(np.arange(len(data.images)), [p.row for p in data.planted])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**62), n=st.integers(120, 200), size=st.sampled_from([16, 32, 50]))
def test_two_calls_give_the_same_bytes(seed, n, size):
    assert digest(practice.make(n=n, size=size, seed=seed)) == digest(practice.make(n=n, size=size, seed=seed))


def test_seeds_share_no_picture():
    seen = [practice.make(n=200, size=32, seed=seed) for seed in range(4)]
    assert len({digest(data) for data in seen}) == 4
    pictures = [data.images[row].tobytes() for data in seen for row in untouched(data)]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_shapes_and_types_are_as_promised(size):
    data = practice.make(n=150, size=size, seed=3)
    assert data.images.shape == (150, size, size, 3) and data.images.dtype == np.uint8
    assert data.test_images.shape == (50, size, size, 3) and data.test_images.dtype == np.uint8
    assert data.labels.shape == (150,) and data.labels.dtype == np.int64
    assert data.test_labels.shape == (50,) and data.test_labels.dtype == np.int64
    assert len(data.classes) == len(set(data.classes)) == 8


@settings(max_examples=6, deadline=None)
@given(n=st.integers(120, 400), more=st.integers(1, 300))
def test_a_row_that_nobody_tampered_with_does_not_depend_on_the_number_of_rows(n, more):
    small, large = practice.make(n=n, size=32, seed=1), practice.make(n=n + more, size=32, seed=1)
    rows = np.intersect1d(untouched(small), untouched(large))
    assert len(rows) > n // 5
    np.testing.assert_array_equal(small.images[rows], large.images[rows])
    np.testing.assert_array_equal(small.labels[rows], large.labels[rows])
    fewer = len(small.test_labels)
    np.testing.assert_array_equal(small.test_images, large.test_images[:fewer])
    np.testing.assert_array_equal(small.test_labels, large.test_labels[:fewer])


def test_a_picture_is_the_same_scene_at_every_size():
    small, large = (practice.make(n=120, size=size, seed=2) for size in (32, 64))
    rows = untouched(small)
    coarse = large.images[rows].reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    assert np.abs(coarse - small.images[rows]).mean() < 6
    np.testing.assert_array_equal(small.labels, large.labels)
    assert small.planted == large.planted


@pytest.mark.parametrize("n", [120, 200, 1600])
def test_every_fault_is_planted_in_its_number_and_no_row_twice(n):
    planted = practice.make(n=n, size=16, seed=5).planted
    counts = Counter(p.kind for p in planted)
    assert counts == {
        "exact": max(2, n // 50),
        "dihedral": max(2, n // 50),
        "recompressed": max(2, n // 65),
        "cropped": max(2, n // 65),
        "conflicting": max(2, n // 200),
        "foreign-all-labels": max(16, 3 * n // 100),
        "foreign-one-label": max(10, n // 100),
        "background": min(60, n // 10),
        "noisy-label": n // 50,
    }
    rows = [p.row for p in planted]
    assert len(set(rows)) == len(rows)


def test_originals_are_untouched_and_serve_once(data):
    originals = [p.of for p in data.planted if p.kind in COPIES]
    assert set(originals) <= set(untouched(data).tolist())
    assert len(set(originals)) == len(originals)


def test_exact_and_conflicting_copies_are_byte_equal_and_only_the_latter_lie(data):
    for row, kind, of in data.planted:
        if kind in ("exact", "conflicting"):
            np.testing.assert_array_equal(data.images[row], data.images[of])
            assert (data.labels[row] == data.labels[of]) == (kind == "exact")


def test_a_turned_copy_is_one_of_the_seven_other_views(data):
    for row, kind, of in data.planted:
        if kind == "dihedral":
            turns = [np.rot90(data.images[of], k) for k in range(4)]
            views = [view for turn in turns for view in (turn, turn[:, ::-1])]
            assert sum(np.array_equal(data.images[row], view) for view in views) == 1
            assert not np.array_equal(data.images[row], data.images[of])


@pytest.mark.parametrize("kind", ["recompressed", "cropped"])
def test_a_near_copy_is_close_but_not_equal(data, kind):
    pixels = data.images.reshape(len(data.images), -1).astype(np.float32)
    pairs = [(p.row, p.of) for p in data.planted if p.kind == kind]
    near = np.array([np.corrcoef(pixels[row], pixels[of])[0, 1] for row, of in pairs])
    far = [np.corrcoef(pixels[row], pixels[of - 1])[0, 1] for row, of in pairs]
    assert near.min() > 0.8 and near.max() < 1
    assert np.all(near > far)


def test_copies_carry_the_label_of_their_original(data):
    for row, kind, of in data.planted:
        if kind in ("dihedral", "recompressed", "cropped"):
            assert data.labels[row] == data.labels[of]


def test_one_foreign_picture_bears_every_label_and_the_other_one(data):
    every, one = rows_of(data, "foreign-all-labels"), rows_of(data, "foreign-one-label")
    assert len(np.unique(data.images[every], axis=0)) == len(np.unique(data.images[one], axis=0)) == 1
    assert not np.array_equal(data.images[every[0]], data.images[one[0]])
    counts = np.bincount(data.labels[every], minlength=8)
    assert counts.min() > 0 and counts.max() - counts.min() <= 1
    assert len(set(data.labels[one].tolist())) == 1


def test_sixty_different_cells_lie_on_one_background(data):
    rows = rows_of(data, "background")
    pictures = data.images[rows]
    assert len(rows) == 60 == len(np.unique(pictures, axis=0))
    background = np.median(pictures, axis=0)
    shared = (pictures == background).all(axis=3).mean(axis=(1, 2))
    assert shared.min() > 0.3
    ordinary = (data.images[untouched(data)] == background).all(axis=3).mean(axis=(1, 2))
    assert ordinary.max() < 0.05
    assert len(set(data.labels[rows].tolist())) >= 6


def test_a_noisy_label_is_the_sister_class_of_the_true_one(data):
    clean = practice.make(n=1500, size=16)
    for row, kind, of in data.planted:
        if kind == "noisy-label":
            assert data.labels[row] == SISTER[of] != of
            if row in untouched(clean):
                assert clean.labels[row] == of


def test_ordinary_pictures_never_collide(data):
    rows = np.setdiff1d(
        np.arange(len(data.images)),
        rows_of(data, "exact", "conflicting", "foreign-all-labels", "foreign-one-label"),
    )
    pictures = [image.tobytes() for image in (*data.images[rows], *data.test_images)]
    assert len(set(pictures)) == len(pictures)


def test_classes_are_imbalanced_four_to_six_times(data):
    honest = np.setdiff1d(np.arange(len(data.labels)), rows_of(data, *LABELS_LIE))
    counts = np.bincount(data.labels[honest], minlength=8)
    assert 4 < counts.max() / counts.min() < 6
    assert sum(TRAIN_SHARES) == sum(TEST_SHARES) == 100


def test_the_hidden_test_has_other_shares(data):
    train = np.bincount(data.labels, minlength=8) / len(data.labels)
    test = np.bincount(data.test_labels, minlength=8) / len(data.test_labels)
    assert np.abs(train - test).sum() / 2 > 0.15
    assert len(data.test_labels) == 533 and test.min() > 0.05


def test_the_hidden_test_is_two_thousand_pictures_at_most():
    assert len(practice.make(n=6100, size=16).test_labels) == 2000


def test_the_hidden_test_is_corrupted_and_the_training_set_is_not(data):
    def spread(images: np.ndarray) -> float:
        return float(images.mean(axis=(1, 2)).std(axis=0).mean())

    assert spread(data.test_images) > 1.2 * spread(data.images[untouched(data)])


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - {"clean"}))
def test_every_corruption_changes_a_picture_and_more_so_when_severe(data, kind):
    pixels = data.images[untouched(data)[0]].astype(np.float32)
    mild, severe = (
        np.abs(CORRUPTIONS[kind](pixels, severity, np.random.default_rng(1)) - pixels).mean() for severity in (0.2, 0.8)
    )
    assert 0 < mild < severe
    np.testing.assert_array_equal(CORRUPTIONS["clean"](pixels, 1.0, np.random.default_rng(1)), pixels)


def test_colour_and_size_tell_the_classes_apart_better_than_chance_but_not_well(data):
    """Nearest class mean on mean colours: a puzzle that this solved would not be worth a network."""
    rows = untouched(data)
    x = data.images[rows].reshape(len(rows), 8, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(len(rows), -1)
    fit, held = np.arange(len(rows)) % 2 == 0, np.arange(len(rows)) % 2 == 1
    y = data.labels[rows]
    means = np.stack([x[fit & (y == c)].mean(axis=0) for c in range(8)])
    guess = ((x[held][:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.24 < (guess == y[held]).mean() < 0.80


@pytest.mark.parametrize("wrong", [{"n": 119}, {"n": 100_001}, {"size": 15}, {"size": 257}, {"seed": -1}], ids=str)
def test_a_number_out_of_range_is_named(wrong):
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(DataError, match=f"{name} = {value}"):
        practice.make(**wrong)


def test_the_graded_variant_has_the_same_pictures_and_grades_that_follow_the_granules() -> None:
    from kit.images.sources.practice.draws import GRADED, draw_cells, express, labels_of

    kinds, graded = (practice.make(n=300, size=16, seed=3, graded=each) for each in (False, True))
    assert graded.classes == ("0", "1", "2", "3", "4") and set(graded.labels.tolist()) == set(range(5))
    assert (graded.images == kinds.images).all() and (graded.test_images == kinds.test_images).all()
    rows = np.array([row for row in range(300) if row not in {planted.row for planted in graded.planted}])
    cells = draw_cells(3, 0, rows)
    trait = express(labels_of(rows, TRAIN_SHARES, 3, 0), cells.normal)[GRADED]
    assert np.corrcoef(trait, graded.labels[rows])[0, 1] > 0.9
    longer = practice.make(n=600, size=16, seed=3, graded=True)
    common = [row for row in rows.tolist() if row not in {planted.row for planted in longer.planted}]
    assert (longer.labels[common] == graded.labels[common]).all()
    for row, kind, of in graded.planted:
        if kind == "noisy-label":
            assert abs(int(graded.labels[row]) - of) == 1
