"""Decisions: the best rule by brute force, what is certified, and the same answers wherever they are made."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import library, softmax
from sklearn import metrics as oracle

from kit.errors import DataError
from kit.judge import blend, decide, score
from kit.judge.decide import BEST, GAINS, POWERS, best
from kit.runtime.decide import decide as apply
from kit.store.blend import Rule
from kit.store.candidate import StoredBlend

pytestmark = pytest.mark.stage

OF_LABELS = [name for name in GAINS if "multilabel" in score.METRICS[name].measure.tasks]


def calibrated(seed, rows=4000, prior=(0.7, 0.2, 0.06, 0.04)):
    """Probabilities that are true, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = np.log(prior) + rng.normal(0, 1.3, size=(rows, len(prior)))
    proba = softmax(logits)
    return proba, (proba.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)


@pytest.mark.parametrize("metric", [*GAINS, *POWERS])
def test_no_rule_of_this_form_and_not_the_most_probable_class_beats_it_on_many_rows(metric):
    proba, y = calibrated(0, rows=40_000, prior=(0.8, 0.2) if metric == "f1" else (0.7, 0.2, 0.06, 0.04))
    found = score.score(metric, y, apply(best(metric, proba, False), proba))
    rng = np.random.default_rng(1)
    others = [proba.argmax(axis=1)]
    if metric in POWERS:
        expected = proba @ np.arange(4)
        others += [np.searchsorted(np.sort(rng.uniform(0, 3, size=3)), expected) for _ in range(100)]
    else:
        others += [(proba * np.exp(rng.normal(0, 1, proba.shape[1]))).argmax(axis=1) for _ in range(100)]
    assert found > max(score.score(metric, y, each) for each in others) - 0.004


def test_balanced_accuracy_is_the_probability_over_the_share_of_the_class():
    proba, _ = calibrated(2)
    assert np.mean(apply(best("balanced_accuracy", proba, False), proba) == (proba / proba.mean(0)).argmax(1)) > 0.995


@pytest.mark.parametrize("metric", OF_LABELS)
def test_thresholds_of_labels_are_as_good_as_any_that_were_tried(metric):
    rng = np.random.default_rng(3)
    proba = 1 / (1 + np.exp(-rng.normal([-2.5, -1.0, 0.5], 1.2, size=(30_000, 3))))
    y = (rng.random(proba.shape) < proba).astype(int)
    rule = best(metric, proba, True)
    found = score.score(metric, y, apply(rule, proba))
    tried = [score.score(metric, y, (proba > t).astype(int)) for t in np.linspace(0.02, 0.9, 45)[:, None] * np.ones(3)]
    assert found > max(tried) - 0.003
    if metric == "macro_f1":  # half of the best F1 of each column
        values = oracle.f1_score(y, apply(rule, proba), average=None)
        assert rule["thresholds"] == pytest.approx(values / 2, abs=0.01)


def test_labels_that_overlap_best_are_found_by_trying_all():
    rng = np.random.default_rng(4)
    proba = rng.random((50, 4))
    answers = apply({"kind": "overlap"}, proba)
    for row, answer in zip(proba, answers, strict=True):
        sets = [list(chosen) for k in range(1, 5) for chosen in combinations(range(4), k)]
        values = [2 * row[chosen].sum() / (len(chosen) + row.sum()) for chosen in sets]
        assert np.flatnonzero(answer).tolist() == sorted(sets[int(np.argmax(values))])


def test_kinds_by_hand():
    proba = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert apply(None, proba).tolist() == [0, 2]
    assert apply({"kind": "best", "k": 2}, proba).tolist() == [[0, 1], [2, 1]]
    assert apply({"kind": "thresholds", "thresholds": [0.4, 0.2, 0.6]}, proba).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert apply({"kind": "mean", "values": [0.0, 10.0, 20.0]}, proba).tolist() == pytest.approx([7.0, 16.0])
    assert apply({"kind": "median", "values": [0.0, 10.0, 20.0]}, proba).tolist() == pytest.approx(
        [5.0, 15 + 5 * 2 / 7]
    )
    with pytest.raises(ValueError, match="unknown kind"):
        apply({"kind": "coin"}, proba)


@pytest.mark.parametrize("metric", ["macro_f1", "qwk", "balanced_accuracy", "mcc"])
def test_a_decision_that_loses_out_of_fold_is_not_kept(metric):
    proba, y = calibrated(5, rows=1500)
    wrong = proba**4 * np.array([1, 1, 30, 30])
    wrong[:, 0] += 1e-3
    wrong = wrong / wrong.sum(axis=1, keepdims=True)
    y = wrong.argmax(axis=1)  # the arg max is always right: nothing can be better
    found = decide.fit(metric, y, wrong, np.arange(1500) % 5)
    assert found.gain <= 0
    assert (not found.kept and found.decision is None) or found.gain >= -found.se


@given(st.integers(0, 50), st.sampled_from(["macro_f1", "balanced_accuracy", "mcc", "qwk"]))
@settings(max_examples=10, deadline=None)
def test_a_decision_is_never_kept_where_it_lost_more_than_an_error(seed, metric):
    proba, y = calibrated(seed, rows=200)
    y = np.random.default_rng(seed).permutation(y)
    found = decide.fit(metric, y, proba, np.arange(200) % 5)
    assert found.kept == (found.gain >= -found.se)


def test_the_truth_does_not_change_a_decision_that_is_kept():
    proba, y = calibrated(6, rows=600)
    found = decide.fit("macro_f1", y, proba, np.arange(600) % 5)
    assert found.kept
    assert found.decision == best("macro_f1", proba, False)


@pytest.mark.parametrize("metric", ["macro_f1", "qwk", "map3", "accuracy", "auc"])
def test_a_blend_answers_alike_from_members_from_the_disk_and_in_the_zip(metric):
    proba, y, fold = library(0, members=2, rows=150, classes=4)
    fitted = blend.fit(proba, y, fold, metric=metric)
    answers = fitted.decide(proba)
    again = StoredBlend.model_validate_json(fitted.to_json())
    assert np.array_equal(again.decide(proba), answers)
    carried = json.loads(json.dumps(again.decision.plain())) if again.decision else None
    assert np.array_equal(apply(carried, fitted.apply(proba)), answers)
    assert answers.shape == ((150, 3) if metric in BEST else (150,))
    assert len(fitted.decide(proba[:, 5:9])) == 4
    assert np.array_equal(fitted.decide(proba[:, None]), answers)


def test_the_nested_score_is_of_answers_that_were_decided_without_the_row():
    proba, y, fold = library(1, members=2, rows=200, classes=3)
    fitted = blend.fit(proba, y, fold, metric="macro_f1")
    assert fitted.nested.score == score.score("macro_f1", y, fitted.answers)
    # Other labels of a fold change its score, and no answer in it.
    other = np.where(fold == 2, (y + 1) % 3, y)
    assert np.array_equal(
        blend.fit(proba, other, fold, metric="macro_f1").answers[fold == 2], fitted.answers[fold == 2]
    )


@pytest.mark.parametrize("changed", [{"scale": [1.0]}, {"offset": []}, {"kind": "costs"}, {"kind": "best"}])
def test_a_decision_of_others_over_another_number_of_classes_is_refused(changed):
    rule = Rule.model_validate({"kind": "gains", "scale": [1.0, 2.0], "offset": [0.0, 0.0]} | changed)
    with pytest.raises(ValueError, match=r"expected 2|it is 0|costs"):
        rule.check(2)


def noisy_other(seed, noise=2.0, rows=2000):
    """Probabilities of five classes that are known well, and of a sixth whose logit is noise."""
    rng = np.random.default_rng(seed)
    y = rng.choice(6, rows, p=[0.15] * 5 + [0.25])
    logits = rng.normal(size=(rows, 6))
    logits[np.arange(rows), y] += np.where(y < 5, 3.0, 0.0)
    logits[:, 5] = rng.normal(0, noise, rows)
    proba = np.exp(logits)
    return y, proba / proba.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "balanced_accuracy"])
def test_an_unknown_class_is_answered_below_a_bound_on_the_others(metric):
    (y, proba), (new, other) = noisy_other(0), noisy_other(1, rows=20_000)
    without, found = (decide.fit(metric, y, proba, np.arange(len(y)) % 5, unknown=each) for each in (None, 5))
    assert found.gain > 2 * found.se
    answers = decide.apply(found.decision, other)
    assert score.score(metric, new, answers) > score.score(metric, new, decide.apply(without.decision, other)) + 0.01
    scale, offset = (np.array(found.decision[key]) for key in ("scale", "offset"))
    bound = offset[5]
    assert scale[5] == 0 and ((answers == 5) == ((other * scale + offset)[:, :5].max(axis=1) < bound)).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "qwk", "nll"])
def test_a_bound_that_gains_less_than_an_error_leaves_the_rule_without_it(metric, seed):
    proba, y = calibrated(seed, rows=500)
    group = np.arange(len(y)) % 5
    assert decide.fit(metric, y, proba, group, unknown=3) == decide.fit(metric, y, proba, group)


def test_a_blend_is_scored_on_rows_that_its_bound_has_not_seen_and_refuses_what_is_no_class():
    y, proba = noisy_other(2, rows=600)
    classes = list("abcdef")
    fitted = blend.fit(
        proba[None], y, np.arange(len(y)) % 5, metric="accuracy", options=blend.Options(classes=classes, unknown="f")
    )
    assert fitted.decision.kind == "gains" and fitted.decision_worth[0] > 0
    assert fitted.nested.score == (fitted.answers == y).mean()
    with pytest.raises(DataError, match="unknown = 'g' is no class"):
        blend.fit(proba[None], y, np.arange(len(y)) % 5, options=blend.Options(classes=classes, unknown="g"))


@pytest.mark.parametrize("seed", [2, 10, 15, 19, 21])
def test_a_rule_that_loses_more_than_an_error_on_the_rows_of_the_blend_is_not_kept(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(4, size=60, p=[0.7, 0.1, 0.1, 0.1])
    proba = rng.dirichlet(np.full(4, 0.3), size=(2, 60))  # they say nothing of the classes
    fitted = blend.fit(proba, y, rng.integers(3, size=60), metric="macro_f1")
    gain, error = fitted.decision_worth
    assert gain < -error and fitted.decision is None
    np.testing.assert_array_equal(fitted.answers, fitted.oof.argmax(axis=1))
    assert fitted.nested.score == pytest.approx(oracle.f1_score(y, fitted.answers, average="macro"))
