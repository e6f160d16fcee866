"""Label errors are proposed as confident learning says; cleanlab is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import scale

from kit.errors import DataError
from kit.stages.clean.review import confident_joint, expected_errors, label_errors

pytestmark = pytest.mark.stage


def predictions(seed, n=60, classes=4):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    proba = rng.dirichlet(np.ones(classes), n)
    proba[np.arange(n), y] += rng.uniform(0, 2, n)
    return proba / proba.sum(axis=1, keepdims=True), y


@given(st.integers(0, 10**6))
def test_the_order_is_self_confidence_against_cleanlabs_thresholds(seed):
    proba, y = predictions(seed)
    from cleanlab.count import get_confident_thresholds  # takes seconds to load
    from cleanlab.rank import get_label_quality_scores

    expected = get_label_quality_scores(y, proba, method="self_confidence")
    expected = expected - np.asarray(get_confident_thresholds(y, proba))[y]
    found = label_errors(proba, y, len(y))
    assert np.allclose([proposal.score for proposal in found], np.sort(expected))


@given(st.integers(0, 10**6))
def test_the_confident_joint_is_cleanlabs(seed):
    proba, y = predictions(seed)
    from cleanlab.count import compute_confident_joint

    counted = compute_confident_joint(y, proba, calibrate=False)
    if (counted.sum(axis=1) > 0).all():
        assert np.allclose(confident_joint(proba, y), counted / counted.sum(1, keepdims=True) * np.bincount(y)[:, None])


@given(st.integers(0, 10**6))
def test_the_joint_has_the_counts_of_the_labels_in_its_rows(seed):
    proba, y = predictions(seed)
    assert np.allclose(confident_joint(proba, y).sum(axis=1), np.bincount(y))


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_neither_the_order_of_the_rows_nor_the_names_of_the_classes_matter(seed, random):
    proba, y = predictions(seed)
    rows, names = random.sample(range(len(y)), len(y)), random.sample(range(4), 4)
    renamed = np.empty_like(proba)
    renamed[:, names] = proba
    before = {(p.row, names[p.given], names[p.proposed]) for p in label_errors(proba, y)}
    after = label_errors(renamed[rows], np.array(names)[y[rows]])
    assert {(rows[p.row], p.given, p.proposed) for p in after} == before


def test_a_swapped_pair_of_certain_predictions_is_proposed_back():
    y = np.repeat([0, 1, 2], 20)
    proba = np.full((60, 3), 0.02)
    proba[np.arange(60), y] = 0.96
    y[3], y[45] = 1, 0
    assert expected_errors(proba, y) == 2
    assert {(p.row, p.given, p.proposed) for p in label_errors(proba, y)} == {(3, 1, 0), (45, 0, 2)}


def test_clean_labels_and_certain_predictions_give_no_proposal():
    assert label_errors(np.eye(3)[[0, 1, 2] * 5], np.array([0, 1, 2] * 5)) == ()


def test_a_class_nobody_bears_is_no_problem():
    proba, y = predictions(0)
    assert all(p.given != 4 for p in label_errors(np.column_stack([proba, np.zeros(len(y))]), y))


def test_four_in_five_wrong_digits_are_found_at_twice_the_budget():
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(y), 90, replace=False)
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + rng.integers(1, 10, 90)) % 10
    model = LogisticRegression(C=0.02, max_iter=300)
    proba = cross_val_predict(model, scale(x), noisy, cv=5, method="predict_proba")
    rows = [proposal.row for proposal in label_errors(proba, noisy, 180)]
    assert np.isin(wrong, rows).mean() >= 0.8


@pytest.mark.parametrize(
    ("proba", "y"),
    [
        (np.ones((3, 2)), np.zeros(2, int)),
        (np.ones((3, 1)), np.zeros(3, int)),
        (np.full((3, 2), np.nan), np.zeros(3, int)),
        (np.ones((3, 2)), np.array([0, 1, 2])),
        (np.ones((3, 2)), np.array([0, 1, -1])),
    ],
)
def test_arrays_that_do_not_fit_are_refused(proba, y):
    with pytest.raises(DataError):
        label_errors(proba, y)
