"""Metrics against scikit-learn, intervals against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from kit.errors import DataError
from kit.judge import metrics, score


def draw(seed, rows=120, classes=4):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=rows)
    y[:classes] = np.arange(classes)
    z = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[y]
    return y, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def hot(y, p):
    return np.eye(p.shape[1], dtype=int)[y]


def macro_f(**more):
    return lambda y, p: oracle.f1_score(y, p.argmax(1), **more)


def partial_area(y, p):
    """ISIC 2024: the area above a sensitivity of 80 %, by turning both classes and scores round."""
    fpr, tpr, _ = oracle.roc_curve(1 - y, 1 - p)
    stop = np.searchsorted(fpr, 0.2, "right")
    tpr = np.append(tpr[:stop], np.interp(0.2, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1]))
    return oracle.auc(np.append(fpr[:stop], 0.2), tpr)


def over(curve):
    """Mean over the classes; of two classes the second."""
    return lambda y, p: np.mean([curve((y == c).astype(int), p[:, c]) for c in range(p.shape[1])][p.shape[1] == 2 :])


def place_of_truth(y, p):
    return np.array(
        [sorted(range(p.shape[1]), key=lambda c: (-row[c], c)).index(t) + 1 for t, row in zip(y, p, strict=True)]
    )


ORACLES = {
    "nll": oracle.log_loss,
    "kl": oracle.log_loss,
    "brier": lambda y, p: ((p - np.eye(p.shape[1])[y]) ** 2).sum(axis=1).mean(),
    "accuracy": lambda y, p: oracle.accuracy_score(y, p.argmax(1)),
    "f1": lambda y, p: oracle.f1_score(y, p.argmax(1), average=None)[1],
    "macro_f1": macro_f(average="macro"),
    "weighted_f1": macro_f(average="weighted"),
    "micro_f1": macro_f(average="micro"),
    "macro_f2": lambda y, p: oracle.fbeta_score(y, p.argmax(1), beta=2, average="macro"),
    "micro_f2": lambda y, p: oracle.fbeta_score(y, p.argmax(1), beta=2, average="micro"),
    "mcc": lambda y, p: oracle.matthews_corrcoef(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: oracle.balanced_accuracy_score(y, p.argmax(1)),
    "top3_accuracy": lambda y, p: (place_of_truth(y, p) <= 3).mean(),
    "top5_accuracy": lambda y, p: (place_of_truth(y, p) <= 5).mean(),
    "map3": lambda y, p: np.mean([1 / k if k <= 3 else 0 for k in place_of_truth(y, p)]),
    "map5": lambda y, p: np.mean([1 / k if k <= 5 else 0 for k in place_of_truth(y, p)]),
    "auc": lambda y, p: np.mean([oracle.roc_auc_score(y == c, p[:, c]) for c in range(p.shape[1])]),
    "weighted_auc": lambda y, p: oracle.roc_auc_score(hot(y, p), p, average="weighted"),
    "partial_auc": over(partial_area),
    "average_precision": over(oracle.average_precision_score),
    "micro_average_precision": lambda y, p: oracle.average_precision_score(hot(y, p), p, average="micro"),
    "probabilistic_f1": over(lambda y, p: 2 * (p * y).sum() / (p.sum() + y.sum())),
    "qwk": lambda y, p: oracle.cohen_kappa_score(y, p.argmax(1), weights="quadratic"),
    "lwk": lambda y, p: oracle.cohen_kappa_score(y, p.argmax(1), weights="linear"),
}
OF_CLASSES = [name for name, metric in score.METRICS.items() if "classes" in metric.measure.tasks]


@pytest.mark.parametrize("metric", ORACLES)
@pytest.mark.parametrize("classes", [2, 7])
def test_metrics_agree_with_scikit_learn(metric, classes):
    y, proba = draw(3, classes=classes)
    assert score.score(metric, y, proba) == pytest.approx(ORACLES[metric](y, proba))


def test_every_metric_but_the_ece_has_an_oracle_here():
    missing = set(OF_CLASSES) - {*ORACLES, "ece"}
    assert not missing, f"add a reference implementation to ORACLES: {sorted(missing)}"
    ours = {name for name, metric in score.METRICS.items() if metric.measure.of != "own"}
    assert {name for name in ours if "multilabel" in score.METRICS[name].measure.tasks} == set(OF_LABELS)


def draw_labels(seed, rows=150, labels=5):
    rng = np.random.default_rng(seed)
    y = (rng.random((rows, labels)) < 0.3).astype(int)
    return y, 1 / (1 + np.exp(-rng.normal(2 * y - 1.2, 1.0)))


def of_labels(function, **more):
    return lambda y, p: function(y, p > 0.5, **more)


def columns(function):
    return lambda y, p: np.mean([function(y[:, c], p[:, c]) for c in range(y.shape[1])])


OF_LABELS = {
    "accuracy": columns(lambda y, p: oracle.accuracy_score(y, p > 0.5)),
    "balanced_accuracy": columns(lambda y, p: oracle.balanced_accuracy_score(y, p > 0.5)),
    "macro_f1": of_labels(oracle.f1_score, average="macro", zero_division=0),
    "weighted_f1": of_labels(oracle.f1_score, average="weighted"),
    "micro_f1": of_labels(oracle.f1_score, average="micro"),
    "sample_f1": of_labels(oracle.f1_score, average="samples", zero_division=0),
    "macro_f2": of_labels(oracle.fbeta_score, beta=2, average="macro"),
    "micro_f2": of_labels(oracle.fbeta_score, beta=2, average="micro"),
    "mcc": columns(lambda y, p: oracle.matthews_corrcoef(y, p > 0.5)),
    "auc": lambda y, p: oracle.roc_auc_score(y, p, average="macro"),
    "weighted_auc": lambda y, p: oracle.roc_auc_score(y, p, average="weighted"),
    "partial_auc": columns(partial_area),
    "average_precision": lambda y, p: oracle.average_precision_score(y, p, average="macro"),
    "micro_average_precision": lambda y, p: oracle.average_precision_score(y, p, average="micro"),
    "probabilistic_f1": columns(lambda y, p: 2 * (p * y).sum() / (p.sum() + y.sum())),
    "nll": columns(lambda y, p: oracle.log_loss(y, p)),
    "brier": columns(lambda y, p: oracle.brier_score_loss(y, p)),
}
OF_NUMBERS = {
    "r2": oracle.r2_score,
    "rmse": oracle.root_mean_squared_error,
    "mae": oracle.mean_absolute_error,
}


@pytest.mark.parametrize("metric", OF_LABELS)
def test_metrics_of_several_labels_agree_with_scikit_learn(metric):
    y, proba = draw_labels(0)
    assert score.score(metric, y, proba) == pytest.approx(OF_LABELS[metric](y, proba))


@pytest.mark.stage
@pytest.mark.parametrize("metric", [*OF_LABELS, *OF_NUMBERS])
def test_errors_of_labels_and_numbers_agree_with_resampling_the_rows(metric):
    y, said = draw_labels(1, rows=400)
    if metric in OF_NUMBERS:
        y, said = said[:, 0], said[:, 0] ** 2 + 0.1 * said[:, 1]
        assert score.score(metric, y, said) == pytest.approx(OF_NUMBERS[metric](y, said))
    picks = np.random.default_rng(0).integers(400, size=(150, 400))
    brute = np.std([score.METRICS[metric].function(y[i], said[i]) for i in picks])
    found = score.interval(metric, y, said, seed=0, resamples=500)
    assert found.se == pytest.approx(brute, rel=0.2)
    assert found.low <= found.score <= found.high


def test_shares_of_votes_are_scored_by_their_divergence():
    rng = np.random.default_rng(0)
    votes, proba = rng.dirichlet(np.ones(4), size=(2, 60))
    expected = (votes * np.log(votes / proba)).sum(axis=1).mean()
    assert score.score("kl", votes, proba) == pytest.approx(expected)
    assert score.score("nll", votes, proba) == pytest.approx(expected - (votes * np.log(votes)).sum(axis=1).mean())


@pytest.mark.parametrize("metric", [name for name in OF_CLASSES if not score.METRICS[name].measure.needs_proba])
def test_answers_are_scored_as_the_probabilities_they_come_from(metric):
    y, proba = draw(4, classes=7)
    best = np.argsort(-proba, axis=1, kind="stable")
    answers = best[:, :5] if score.METRICS[metric].measure.needs == "ranks" else best[:, 0]
    assert score.score(metric, y, answers) == pytest.approx(score.score(metric, y, proba))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "auc", "average_precision", "micro_average_precision", "ece"])
def test_a_thousand_classes_need_little_memory(metric):
    import tracemalloc

    rng = np.random.default_rng(0)
    y, proba = rng.integers(1000, size=5_000), rng.random((5_000, 1000), np.float32)
    proba /= proba.sum(axis=1, keepdims=True)
    tracemalloc.start()
    score.interval(metric, y, proba, seed=0)
    assert tracemalloc.get_traced_memory()[1] < 4e8
    tracemalloc.stop()


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_better_predictions_score_better_in_the_direction_the_metric_claims(metric):
    y, proba = draw(5, rows=3000, classes=7)
    if metric == "ece":
        worse = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    else:
        worse = 0.3 * proba + 0.7 * proba[np.random.default_rng(0).permutation(len(y))]
    better, bad = score.score(metric, y, proba), score.score(metric, y, worse)
    assert (better > bad) == score.METRICS[metric].measure.greater_is_better


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_classes_without_rows_leave_the_scores_finite(metric):
    y, proba = draw(1, classes=5)
    y = y % 3
    interval = score.interval(metric, y, proba, seed=0, resamples=200)
    assert np.isfinite([interval.score, interval.low, interval.high, interval.se]).all()
    assert interval.low <= interval.score <= interval.high


def test_macro_f1_of_an_absent_class_that_is_predicted_counts_zero_as_in_scikit_learn():
    y, proba = draw(1, classes=5)
    y = y % 3
    assert score.score("macro_f1", y, proba) == pytest.approx(ORACLES["macro_f1"](y, proba))


def test_the_ece_of_a_calibrated_coin_is_small_and_of_a_sure_one_its_error_rate():
    y = np.arange(1000) % 2
    assert score.score("ece", y, np.full((1000, 2), 0.5)) == pytest.approx(0.0, abs=0.02)
    sure = np.tile([1.0, 0.0], (1000, 1))
    assert score.score("ece", y, sure) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_intervals_do_not_depend_on_the_order_of_rows_and_repeat_with_the_seed(metric):
    y, proba = draw(2)
    order = np.random.default_rng(0).permutation(len(y))
    one = score.interval(metric, y, proba, seed=4, resamples=200)
    assert one == score.interval(metric, y, proba, seed=4, resamples=200)
    other = score.interval(metric, y[order], proba[order], seed=4, resamples=200)
    assert np.allclose([one.score, one.low, one.high], [other.score, other.low, other.high])


def test_the_standard_error_of_a_mean_is_that_of_the_textbook():
    y, proba = draw(7, rows=500)
    losses = metrics.row_nll(y, proba)
    expected = losses.std(ddof=1) / np.sqrt(500)
    assert score.interval("nll", y, proba, seed=0).se == pytest.approx(expected, rel=0.08)


@pytest.mark.stage
@pytest.mark.parametrize("metric", OF_CLASSES)
def test_answers_that_are_surely_right_have_the_best_score_that_there_is(metric):
    y, measure = np.arange(30) % 3, score.METRICS[metric].measure
    best = measure.bounds[int(measure.greater_is_better)]
    assert score.score(metric, y, np.eye(3)[y]) == pytest.approx(best)


@pytest.mark.parametrize("metric", [name for name in OF_CLASSES if score.METRICS[name].measure.greater_is_better])
def test_errors_from_influence_agree_with_resampling_the_rows(metric):
    y, proba = draw(8, rows=400, classes=7)
    rng = np.random.default_rng(0)
    other = proba**0.5 * rng.uniform(0.5, 1.5, size=proba.shape)
    other /= other.sum(axis=1, keepdims=True)
    picks = [rng.integers(400, size=400) for _ in range(150)]
    function = score.METRICS[metric].function
    brute = np.std([function(y[i], proba[i]) - function(y[i], other[i]) for i in picks])
    assert score.standard_errors(metric, y, np.array([proba]), other)[0] == pytest.approx(brute, rel=0.2)
    assert score.difference(metric, y, proba, other, seed=0).se == pytest.approx(brute, rel=0.2)


def test_the_interval_of_an_auc_near_one_is_longer_below_and_ends_before_one():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 100)
    p = 1 / (1 + np.exp(-(3.0 * y - 1.5 + rng.normal(size=200))))
    found = score.interval("auc", y, np.stack([1 - p, p], axis=1), seed=0)
    assert found.score > 0.97
    assert 0 < found.high - found.score < found.score - found.low and found.high < 1


@given(st.integers(0, 1000), st.integers(5, 60), st.integers(5, 60), st.floats(0, 3))
def test_the_error_of_an_auc_is_that_of_delong_and_its_interval_is_even_on_the_logit(seed, few, many, apart):
    rng = np.random.default_rng(seed)
    low, high = rng.normal(size=many), rng.normal(size=few) + apart
    p = 1 / (1 + np.exp(-np.append(low, high)))
    found = score.interval("auc", np.repeat([0, 1], [many, few]), np.stack([1 - p, p], axis=1), seed=0)
    above = (high[:, None] > low).astype(float)
    error = np.sqrt(above.mean(axis=1).var(ddof=1) / few + above.mean(axis=0).var(ddof=1) / many)
    if found.score < 1:
        assert found.se == pytest.approx(error, rel=0.12)
        down, middle, up = (np.log(x / (1 - x)) for x in (found.low, found.score, found.high))
        assert up - middle == pytest.approx(middle - down)
        assert up - middle >= 1.95 * found.se / (found.score * (1 - found.score))


def test_the_interval_of_a_partial_area_ends_at_its_largest_value():
    y = np.repeat([0, 1], [270, 30])
    p = 1 / (1 + np.exp(-np.random.default_rng(0).normal(4.0 * y - 2)))
    found = score.interval("partial_auc", y, np.stack([1 - p, p], axis=1), seed=0)
    assert 0.19 < found.score < found.high < 0.2


def test_an_interval_of_few_groups_is_wider_than_that_of_a_normal():
    y, proba = draw(0, rows=600)
    groups = np.arange(600) // 75
    found = score.interval("nll", y, proba, seed=0, groups=groups)
    assert found.high - found.low > 2 * 1.99 * found.se


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["nll", "accuracy", "auc", "macro_f1"])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(metric):
    truth = score.score(metric, *draw(10**6, rows=200_000))
    hits = 0
    for seed in range(400):
        found = score.interval(metric, *draw(seed, rows=200), seed=seed, resamples=500)
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 400 <= 0.98


@given(st.integers(0, 1000), st.sampled_from(sorted(set(ORACLES) - {"qwk", "lwk", "f1"})))
@settings(max_examples=30, deadline=None)
def test_metrics_do_not_depend_on_the_order_of_classes(seed, metric):
    y, proba = draw(seed, rows=40)
    order = np.random.default_rng(seed).permutation(4)
    renamed = np.argsort(order)[y]
    assert score.score(metric, renamed, proba[:, order]) == pytest.approx(score.score(metric, y, proba))


def test_unusable_input_is_refused_by_name():
    y, proba = draw(0)
    with pytest.raises(DataError, match="unknown metric `f2`"):
        score.score("f2", y, proba)
    with pytest.raises(DataError, match="row 5: label 9"):
        score.score("nll", np.where(np.arange(len(y)) == 5, 9, y), proba)
    with pytest.raises(DataError, match="two classes"):
        score.score("auc", np.zeros_like(y), proba)
    with pytest.raises(DataError, match="expected"):
        score.score("nll", y[:-1], proba)
    with pytest.raises(DataError, match="`r2` is one of numbers, but the labels are of classes"):
        score.score("r2", y, proba)
    with pytest.raises(DataError, match="`qwk` is one of classes or grades, but the labels are of multilabel"):
        score.score("qwk", *draw_labels(0))
