"""Limits, notes, folds, choice and tables."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import library

from kit.base.tasks import ONE_CLASS
from kit.errors import DataError
from kit.judge import blend, score
from kit.judge.blend.nested import MEAN_PRIOR, cross, fold_groups, prior, shares
from kit.judge.blend.tables import correlation, disagreement, per_class
from kit.judge.blend.worth import keep_members
from kit.runtime import pool

pytestmark = pytest.mark.stage


def test_the_runtime_part_imports_nothing_but_numpy_and_reads_as_python_3_10():
    tree = ast.parse(Path(pool.__file__).read_text(), feature_version=(3, 10))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names == {"__future__", "typing", "numpy"}


def test_the_runtime_refuses_another_number_of_members_or_classes():
    proba, y, fold = library(0, members=3, rows=60, classes=3)
    fitted = blend.fit(proba, y, fold)
    with pytest.raises(ValueError, match="fitted were"):
        fitted.apply(proba[:2])
    with pytest.raises(ValueError, match="fitted were"):
        fitted.apply(proba[:, :, :2])


def test_rows_are_predicted_independently_of_each_other():
    proba, y, fold = library(1, members=3, rows=80, classes=3)
    for metric in ("nll", "auc"):
        fitted = blend.fit(proba, y, fold, metric=metric)
        assert np.allclose(fitted.apply(proba)[5:9], fitted.apply(proba[:, 5:9]), atol=1e-12)


def test_max_members_keeps_so_many_and_names_the_others():
    proba, y, fold = library(2, members=5, rows=300, classes=3)
    fitted = blend.fit(proba, y, fold, options=blend.Options(max_members=2))
    assert sum(w > 0 for w in fitted.weights) <= 2
    assert sum("left out to keep the limits" in note for note in fitted.notes) == 3


def test_a_limit_on_size_drops_the_useless_member_before_the_useful():
    proba, y, fold = library(3, members=3, rows=400, classes=3)
    proba[1] = 1 / 3
    options = blend.Options(max_bundle_mb=25, mb=[10, 10, 10], members=["a", "b", "c"])
    fitted = blend.fit(proba, y, fold, options=options)
    assert "member b is left out to keep the limits" in fitted.notes
    assert fitted.weights[1] == 0


def test_folds_may_keep_another_number_of_members_than_all_rows_do():
    proba, y, fold = library(0, members=4, rows=60, classes=3)
    options = blend.Options(max_bundle_mb=9, mb=[2, 3, 4, 5])
    q = proba[:, np.arange(60), y].T
    assert len({len(keep_members(q[rows], 1, options)) for rows in (fold >= 0, *(fold != k for k in range(5)))}) == 2
    fitted = blend.fit(proba, y, fold, options=options)
    assert sum(fitted.weights) == pytest.approx(1) and sum(w > 0 for w in fitted.weights) <= 3


@given(st.integers(0, 100), st.floats(1.0, 40.0), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_what_is_kept_meets_all_limits(seed, seconds, max_members):
    rng = np.random.default_rng(seed)
    q, costs = rng.uniform(0.1, 1, size=(60, 6)), rng.uniform(0.1, 0.5, size=6)
    options = blend.Options(max_members=max_members, max_seconds_per_1000=seconds, seconds_per_1000=costs.tolist())
    kept = keep_members(q, 2, options)
    assert 1 <= len(kept) <= max_members
    assert 2 * costs[kept].sum() <= seconds + 1e-6


def test_a_limit_without_costs_or_below_every_member_is_refused():
    proba, y, fold = library(4, members=2, rows=60, classes=3)
    with pytest.raises(DataError, match="max_bundle_mb is 5"):
        blend.fit(proba, y, fold, options=blend.Options(max_bundle_mb=5))
    with pytest.raises(DataError, match="leave no member"):
        blend.fit(proba, y, fold, options=blend.Options(max_bundle_mb=5, mb=[10, 10]))


def test_a_member_too_slow_on_its_own_leaves_before_better_fits_are_weighed():
    q = np.tile([0.5, 0.5, 0.9], (40, 1))
    options = blend.Options(max_seconds_per_1000=1.0, seconds_per_1000=[0.9, 0.9, 1.5])
    assert keep_members(q, 1, options).tolist() in ([0], [1])


def test_a_member_of_noise_is_said_to_add_nothing():
    proba, y, fold = library(5, members=3, rows=600, classes=3)
    noise = np.random.default_rng(0).dirichlet(np.full(3, 1.0), size=600)
    options = blend.Options(members=["a", "b", "c", "noise"])
    fitted = blend.fit(np.concatenate([proba, noise[None]]), y, fold, options=options)
    assert any(note.startswith("member noise adds nothing") for note in fitted.notes)


def test_few_errors_and_absent_classes_are_noted():
    proba, y, fold = library(6, members=2, rows=60, classes=3)
    sure = 0.97 * np.eye(3)[y] + 0.01
    fitted = blend.fit(np.stack([sure, 0.5 * sure + 0.5 * proba[0]]), np.where(y == 2, 0, y), fold)
    assert any("class 2 has no rows" in note for note in fitted.notes)
    fitted = blend.fit(np.stack([sure, sure**2 / (sure**2).sum(axis=1, keepdims=True)]), y, fold)
    assert any("rows are wrong" in note for note in fitted.notes)


@given(st.lists(st.integers(0, 8), min_size=30, max_size=60))
@settings(max_examples=50, deadline=None)
def test_groups_never_split_a_fold_and_leave_something_to_fit_on(fold):
    _, fold = np.unique(fold, return_inverse=True)
    if fold.max() < 2:
        return
    group = fold_groups(fold, np.zeros(len(fold), int), range(len(fold)))
    assert 3 <= group.max() + 1 <= 5
    assert all(len(set(group[fold == k])) == 1 for k in range(fold.max() + 1))


@pytest.mark.parametrize("folds", [1, 2])
def test_predictions_of_one_or_two_folds_are_dealt_into_five_groups(folds):
    proba, y, _ = library(7, members=3, rows=100, classes=3)
    fitted = blend.fit(proba, y, np.arange(100) % folds)
    assert fitted.nested.low < fitted.nested.score < fitted.nested.high


def test_the_fit_for_a_pair_of_groups_sees_no_row_of_theirs():
    group = np.arange(20) % 4
    fits = cross(group, lambda rows: tuple(np.flatnonzero(rows)))
    assert len(set(fits.values())) == 4 + 6
    for (j, k), seen in fits.items():
        assert seen == tuple(np.flatnonzero((group != j) & (group != k)))


def test_changing_the_labels_of_a_fold_does_not_change_its_nested_predictions():
    proba, y, fold = library(8, members=3, rows=200, classes=3)
    inside = fold == 2
    changed = np.where(inside, (y + 1) % 3, y)
    one, other = blend.fit(proba, y, fold), blend.fit(proba, changed, fold)
    assert np.allclose(one.oof[inside], other.oof[inside], atol=1e-6)
    assert not np.allclose(one.oof[~inside], other.oof[~inside], atol=1e-3)


def test_the_prior_is_even_over_families_and_evidence_overrules_it():
    beliefs = dict.fromkeys(["mean", "a, 1", "a, 2", "b"], 1.0)
    assert np.allclose(prior(beliefs), [MEAN_PRIOR, *np.array([0.25, 0.25, 0.5]) * (1 - MEAN_PRIOR)])
    rng = np.random.default_rng(0)
    likelihoods = -rng.exponential(size=(4, 500))
    likelihoods[1:] = likelihoods[0]
    assert shares(beliefs, likelihoods, 0)[0] == pytest.approx(MEAN_PRIOR, abs=0.03)
    likelihoods[3] += 0.1
    assert shares(beliefs, likelihoods, 0)[3] > 0.99


def test_rare_classes_gain_where_the_metric_counts_classes():
    rng = np.random.default_rng(1)
    y = rng.choice(3, p=[0.9, 0.05, 0.05], size=2000)
    logits = np.log([0.9, 0.05, 0.05]) + 1.2 * np.eye(3)[y] + rng.normal(size=(3, 2000, 3))
    proba = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    fold = np.arange(2000) % 5
    by_loss, by_metric = blend.fit(proba, y, fold), blend.fit(proba, y, fold, metric="balanced_accuracy")
    recall = score.score("balanced_accuracy", y, by_loss.oof)
    assert by_metric.nested.score > recall + 0.02


def test_tables_by_hand():
    y = np.array([0, 0, 1, 1, 2])
    proba = np.eye(3)[[0, 1, 1, 1, 1]]
    rows = per_class(ONE_CLASS, y, proba, ["a", "b", "c"])
    assert [row.recall for row in rows] == [0.5, 1.0, 0.0]
    assert rows[1].precision == 0.5
    assert [row.taken_for for row in rows] == ["b", "", "b"]
    members = np.stack([proba, proba, np.full((5, 3), 1 / 3)])
    assert disagreement(members)[0, 1] == 0 and disagreement(members)[0, 2] == 0.8
    assert np.allclose(correlation(members, y)[:2, :2], 1) and correlation(members, y)[0, 2] == 0
