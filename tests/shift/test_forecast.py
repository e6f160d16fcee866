"""Forecasts: right where the truth is made, honest about what they do not know, moved by scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kit.base.tasks import TASKS
from kit.config.competition import METRICS
from kit.errors import DataError
from kit.images.corrupt.plan import Mixture
from kit.judge.score import score
from kit.judge.shift import consensus
from kit.judge.shift.belief import Belief, Case, wrong_labels
from kit.judge.shift.consensus import (
    alike,
    anchored,
    believed,
    covariance,
    draws_for,
    learn,
    learn_by_class,
    shared_luck,
)
from kit.judge.shift.evidence import Evidence
from kit.judge.shift.forecast import (
    CONCENTRATION,
    believe,
    calibrate,
    from_mixture,
    from_test,
    shifted,
    summarise,
)
from kit.judge.shift.past import explain

pytestmark = pytest.mark.stage

FAMILIES = ("noise", "jpeg", "defocus", "occlusion", "bubbles")
MIXTURE = Mixture(FAMILIES, clean=0.2)


def forecast(evidence, mixture, size, past=None, level=0.9):
    """What `kit forecast` says of every model, in one step."""
    return summarise(evidence, believe(evidence, mixture), size, past or {}, level)


def values_of(found):
    return np.array([one.value for one in found])


QUALITY = np.linspace(1.0, 3.0, 6)


def predictions(rng: np.random.Generator, y: np.ndarray, damage: np.ndarray) -> np.ndarray:
    """(M, N, C): models see a class through noise; damage takes signal away, and models do not know it."""
    shared = rng.standard_normal((len(y), 5))
    out = []
    for quality in QUALITY:
        x = 0.5 * shared + rng.standard_normal((len(y), 5)) + (quality * (1 - damage))[:, None] * np.eye(5)[y]
        proba = np.exp(1.5 * x)
        out.append(proba / proba.sum(1, keepdims=True))
    return np.array(out)


def made(seed: int, severity: float | None, n: int = 900, tests: int = 2000) -> tuple[Evidence, np.ndarray]:
    """Evidence, and the accuracies on a test that is damaged by ``severity`` (no test given where None)."""
    rng = np.random.default_rng(seed)
    y, truth = rng.integers(0, 5, n), rng.integers(0, 5, tests)
    family, degree = rng.choice(FAMILIES, n), rng.integers(1, 6, n)
    test = predictions(rng, truth, np.full(tests, severity or 0.0))
    evidence = Evidence(
        tuple(f"m{i}" for i in range(6)),
        y,
        predictions(rng, y, np.zeros(n)),
        np.arange(n),
        family,
        degree,
        predictions(rng, y, degree * 0.12),
        None if severity is None else test,
    )
    return evidence, np.asarray((test.argmax(2) == truth).mean(1))


@pytest.mark.matrix
def test_the_forecast_from_test_pictures_is_nearer_than_the_clean_score() -> None:
    evidence, truth = made(0, 0.5)
    found = forecast(evidence, MIXTURE, 2000)
    error, clean = (np.abs(said - truth) for said in (values_of(found), evidence.clean_values.mean(1)))
    assert error.mean() < 0.25 * clean.mean()
    assert {f.basis for f in found} == {"test pictures"}


@pytest.mark.matrix
def test_without_a_shift_the_forecast_is_the_clean_score() -> None:
    evidence, _ = made(1, 0.0)
    np.testing.assert_allclose(values_of(forecast(evidence, MIXTURE, 2000)), evidence.clean_values.mean(1), atol=0.01)


@pytest.mark.matrix
def test_the_clean_rows_as_a_test_give_exactly_the_clean_score() -> None:
    evidence, _ = made(1, None, n=300)
    mean = from_test(calibrate(evidence), evidence.clean).cases[0].mean
    np.testing.assert_allclose(mean, evidence.clean_values.mean(1), atol=1e-9)


@pytest.mark.matrix
def test_a_mixture_is_the_weighted_cells_or_nothing_is_shifted() -> None:
    evidence, _ = made(2, None)
    cells, (still, shift) = evidence.cells(MIXTURE), from_mixture(evidence, MIXTURE, 0.3).cases
    assert (still.weight, shift.weight) == (0.3, 0.7)
    np.testing.assert_allclose(still.mean, evidence.clean_values.mean(1))
    np.testing.assert_allclose(shift.mean, cells @ MIXTURE.shares)
    rows = evidence.family == "jpeg"
    wanted = evidence.stressed_values[:, rows & (evidence.severity == 3)].mean(1)
    np.testing.assert_allclose(cells[:, MIXTURE.cells.index(("jpeg", 3))], wanted)


@pytest.mark.matrix
def test_the_covariance_of_a_shift_is_that_of_dirichlet_draws() -> None:
    evidence, _ = made(2, None)
    found = from_mixture(evidence, MIXTURE).cases[1].covariance
    weights = np.random.default_rng(0).dirichlet(CONCENTRATION * MIXTURE.shares, 200_000)
    drawn = evidence.cells(MIXTURE) @ weights.T
    np.testing.assert_allclose(found - 0.005**2 * np.eye(6), np.cov(drawn), atol=1e-3)


@pytest.mark.matrix
def test_scores_say_whether_the_test_is_shifted() -> None:
    evidence, truth = made(3, 0.0)
    blind = replace(evidence, test=None)
    still, hurt = (
        forecast(blind, MIXTURE, 2000, {"m1": score})[3].cases[0][0]
        for score in (float(truth[1]), float(truth[1]) - 0.2)
    )
    assert hurt < 0.01 < 0.2 < still
    assert sum(weight for weight, *_ in forecast(blind, MIXTURE, 2000)[0].cases) == pytest.approx(1)


@pytest.mark.matrix
def test_the_mean_of_folds_gains_what_the_labels_say_it_gains() -> None:
    evidence, _ = made(1, 0.3)
    rng = np.random.default_rng(0)
    assert evidence.test is not None
    folds = np.exp(np.log(evidence.test)[:, None] + 2.0 * rng.standard_normal((6, 5, 2000, 5)))
    folds /= folds.sum(3, keepdims=True)
    mean = folds.mean(1)
    calibration = calibrate(evidence)
    one, many = from_test(calibration, folds[:, 0]), from_test(calibration, mean, folds)
    truth = np.random.default_rng(1)  # the labels of `made`
    truth.integers(0, 5, 900)
    labels = truth.integers(0, 5, 2000)
    gained = (mean.argmax(2) == labels).mean(1) - (folds.argmax(3) == labels).mean((1, 2))
    found = many.cases[0].mean - one.cases[0].mean
    assert gained.mean() > 0.02 and found.mean() == pytest.approx(gained.mean(), abs=0.02)


@pytest.mark.matrix
def test_without_test_images_the_mean_of_folds_is_expected_to_gain_and_the_interval_widens() -> None:
    evidence, _ = made(2, None)
    one, many = (from_mixture(replace(evidence, averaged=k), MIXTURE) for k in (1, 5))
    for before, after in zip(one.cases, many.cases, strict=True):
        assert np.all(after.mean > before.mean)
        assert np.all(np.diag(after.covariance) > np.diag(before.covariance))


@pytest.mark.matrix
@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.02, 0.05, 0.1]))
def test_wrong_labels_are_counted_and_mistakes_are_not(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(4, 0.25), 3000)  # a fifth of these are mistaken
    y = (rng.random((3000, 1)) > proba.cumsum(1)).sum(1)
    wrong = rng.random(3000) < share
    given_ = np.where(wrong, (y + rng.integers(1, 4, 3000)) % 4, y)
    found = wrong_labels(proba, given_)
    assert abs(found.share - share) < 3 * found.error + 0.002
    assert found.cleared(np.array([(proba.argmax(1) == given_).mean()]), 4) == pytest.approx(
        [(proba.argmax(1) == y).mean()], abs=3 * found.error + 0.005
    )
    sharper = proba**2 / (proba**2).sum(1, keepdims=True)  # overconfidence is no wrong label either
    assert abs(wrong_labels(sharper, given_).share - found.share) < 0.01


@pytest.mark.matrix
def test_quantiles_of_cases_are_those_of_draws() -> None:
    rng = np.random.default_rng(0)
    cases = (Case(0.3, np.array([0.9, 0.8]), np.diag([1e-4, 4e-4])), Case(0.7, np.array([0.6, 0.7]), np.eye(2) * 0.01))
    found = Belief(cases, np.eye(2)).quantiles([0.05, 0.5, 0.95])
    draws = np.concatenate([rng.multivariate_normal(c.mean, c.covariance, int(400_000 * c.weight)) for c in cases])
    np.testing.assert_allclose(found, np.quantile(draws, [0.05, 0.5, 0.95], axis=0), atol=3e-3)


@pytest.mark.matrix
def test_known_scores_move_the_others_and_narrow_their_intervals() -> None:
    evidence, truth = made(3, 0.55)
    blind = replace(evidence, test=None)
    before = forecast(blind, MIXTURE, 2000)
    after = forecast(blind, MIXTURE, 2000, {"m1": float(truth[1]), "m4": float(truth[4])})
    others = [0, 2, 3, 5]
    errors = [np.mean([abs(found[i].value - truth[i]) for i in others]) for found in (before, after)]
    assert errors[1] < 0.5 * errors[0]
    assert all(after[i].high - after[i].low < before[i].high - before[i].low for i in others)
    assert after[0].past == 2


@pytest.mark.matrix
@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_conditioning_is_the_formula_of_two_normals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((2, 2)) * 0.1
    luck = np.array([[0.21, 0.15], [0.15, 0.24]])
    case = Case(1.0, np.array([0.7, 0.6]), root @ root.T + 1e-4 * np.eye(2))
    (after,) = Belief((case,), luck).given(np.array([0]), np.array([0.5]), 100).cases
    mean, variance = after.mean, np.diag(after.covariance)
    total = case.covariance + luck / 100
    share = total[1, 0] / total[0, 0]
    assert mean == pytest.approx([0.5, 0.6 + share * (0.5 - 0.7)])
    assert variance == pytest.approx([0, total[1, 1] - share * total[0, 1]], abs=1e-12)


@pytest.mark.matrix
def test_drawn_labels_are_as_frequent_as_the_posterior_says() -> None:
    evidence, _ = made(8, None, n=4000)
    rng = np.random.default_rng(0)
    posterior = rng.dirichlet(np.ones(5), 4000)
    values = believed(evidence, evidence.clean, posterior)
    chosen = evidence.clean.argmax(2)
    exact = posterior[np.arange(4000), chosen]
    assert np.abs(values.mean(0) - exact).max() <= 0.1 + 1e-9  # within one of ten draws, whatever the row
    np.testing.assert_allclose(values.mean((0, 2)), exact.mean(1), atol=0.003)
    luck = shared_luck(values)
    same = chosen[:, None] == chosen
    wanted = (np.where(same, exact[:, None], 0) - exact[:, None] * exact).mean(2)
    np.testing.assert_allclose(luck, wanted, atol=0.02)


@pytest.mark.matrix
@pytest.mark.parametrize("metric", ["nll", "macro_f1", "auc"])  # of rows, of counts, of all
def test_by_every_metric_the_forecast_is_nearer_than_the_clean_score(metric: str) -> None:
    evidence, _ = made(0, 0.5, n=300, tests=400)
    evidence = replace(evidence, metric=metric)
    rng = np.random.default_rng(0)
    rng.integers(0, 5, 300)
    labels = rng.integers(0, 5, 400)
    assert evidence.test is not None
    truth = np.array([score(metric, labels, one) for one in evidence.test])
    found = forecast(evidence, MIXTURE, 400)
    off, clean = (np.abs(said - truth).mean() for said in (values_of(found), evidence.clean_values.mean(1)))
    assert off < 0.5 * clean
    blind = forecast(replace(evidence, test=None), MIXTURE, 400)
    assert all(one.low <= one.value <= one.high for one in blind)


HOLDS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]])  # three labels by class
TRUTHS = {
    "multiclass": lambda y: y,
    "multilabel": lambda y: HOLDS[y],
    "soft": lambda y: np.eye(5)[y] * 0.8 + np.eye(5)[(y + 1) % 5] * 0.2,
    "regression": lambda y: y * 20.0,
}


def asked(evidence: Evidence, task: str, metric: str) -> Evidence:
    """The same evidence, of another task; what models say follows from what they said of the classes."""
    mixed = {"multilabel": HOLDS, "soft": TRUTHS["soft"](np.arange(5))}.get(task, np.eye(5))
    said = {name: getattr(evidence, name) @ mixed for name in ("clean", "stressed", "test")}
    classes = tuple(str(20 * c) for c in range(5))
    return replace(evidence, y=TRUTHS[task](evidence.y), metric=metric, task=TASKS[task], classes=classes, **said)


TASK_METRICS = [("multilabel", "macro_f1"), ("soft", "kl"), ("soft", "accuracy"), ("regression", "rmse"),
                ("regression", "r2"), ("regression", "nll")]  # fmt: skip


@pytest.mark.matrix
@pytest.mark.parametrize(("task", "metric"), TASK_METRICS)
def test_for_every_task_the_forecast_is_nearer_than_the_clean_score(task: str, metric: str) -> None:
    evidence, _ = made(0, 0.5, n=300, tests=400)
    rng = np.random.default_rng(0)
    rng.integers(0, 5, 300)
    labels = TRUTHS[task](rng.integers(0, 5, 400))
    evidence = asked(evidence, task, metric)
    assert evidence.test is not None
    truth = evidence.values(labels, evidence.test).mean(1)
    found = forecast(evidence, MIXTURE, 400)
    off, clean = (np.abs(said - truth).mean() for said in (values_of(found), evidence.clean_values.mean(1)))
    assert off < 0.5 * clean
    assert all(one.low <= one.value <= one.high for one in forecast(replace(evidence, test=None), MIXTURE, 400))


@pytest.mark.matrix
@pytest.mark.parametrize("task", TRUTHS)
def test_answers_of_questions_say_the_truth_and_each_question_has_probabilities(task: str) -> None:
    evidence = asked(made(0, 0.5, n=60, tests=60)[0], task, "nll")
    np.testing.assert_allclose(evidence.truth(evidence.answers(evidence.y)), evidence.y)
    asked_of = evidence.questions(evidence.clean)
    np.testing.assert_allclose(asked_of.sum(2), 1)
    assert asked_of.shape[1] == len(evidence.answers(evidence.y))


@pytest.mark.matrix
@settings(max_examples=3)
@given(st.floats(1e-3, 1e3))
def test_a_forecast_of_a_number_does_not_depend_on_its_unit(unit: float) -> None:
    evidence = asked(made(3, 0.4, n=150, tests=60)[0], "regression", "rmse")
    other = replace(evidence, y=evidence.y * unit, classes=tuple(repr(20.0 * c * unit) for c in range(5)))
    for test in (evidence.test, None):
        first, second = (forecast(replace(one, test=test), MIXTURE, 100) for one in (evidence, other))
        for a, b in zip(first, second, strict=True):
            assert (b.value, b.low, b.high) == pytest.approx((a.value * unit, a.low * unit, a.high * unit), rel=1e-6)


@pytest.mark.matrix
def test_no_score_is_expected_beyond_what_the_metric_can_be() -> None:
    for metric, bounds in {"partial_auc": (0, 0.2), "qwk": (-1, 1), "nll": (0, np.inf)}.items():
        evidence = replace(made(3, None, n=60)[0], metric=metric)
        assert METRICS[metric].bounds == bounds
        for one in forecast(evidence, MIXTURE, 20):
            assert bounds[0] <= one.low <= one.value <= one.high <= bounds[1]
    assert (METRICS["rmse"].bounds, METRICS["r2"].bounds) == ((0, np.inf), (-np.inf, 1))


@pytest.mark.matrix
def test_a_slow_metric_is_drawn_less_often_and_the_forecast_is_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = replace(made(2, 0.4, n=300, tests=300)[0], metric="auc")
    many = forecast(evidence, MIXTURE, 300)
    assert draws_for(evidence) == 10 == draws_for(replace(evidence, metric="accuracy"))
    monkeypatch.setattr(consensus, "SEEN", 100.0)
    assert draws_for(evidence) == 2 and draws_for(replace(evidence, metric="accuracy")) == 10
    few = forecast(evidence, MIXTURE, 300)
    np.testing.assert_allclose([f.value for f in few], [f.value for f in many], atol=0.01)


@pytest.mark.matrix
def test_one_family_that_goes_badly_wrong_makes_no_interval_wide() -> None:
    rng = np.random.default_rng(0)
    errors, lucks, same = 0.03 * rng.standard_normal((3, 15)), np.zeros((15, 3, 3)), np.eye(3)
    wild = errors.copy()
    wild[:, 4] *= 20
    before, after = (np.trace(covariance(one, lucks, same)) for one in (errors, wild))
    assert np.trace(wild @ wild.T) > 10 * np.trace(errors @ errors.T)
    assert after < 2 * before


@pytest.mark.matrix
def test_what_is_answered_is_judged_where_answers_are_decided() -> None:
    evidence, _ = made(9, None)
    never = {"kind": "gains", "scale": [0.0, 1.0, 1.0, 1.0, 1.0], "offset": [0.0] * 5}  # the first class
    decided = replace(evidence, metric="macro_f1", decisions=(never, *[None] * 5))
    plain = replace(evidence, metric="macro_f1")
    before, after = (one.clean_values.mean(1) for one in (plain, decided))
    assert after[0] < before[0] - 0.05 and np.array_equal(after[1:], before[1:])
    assert before[0] == pytest.approx(score("macro_f1", evidence.y, evidence.clean[0]))


@pytest.mark.matrix
def test_models_are_alike_as_their_luck_is_correlated() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2, (10, 3, 200))
    values[:, 1] = values[:, 0]
    found = alike(shared_luck(values))
    assert found[0, 1] == pytest.approx(1) and found[0, 2] < 0.2
    np.testing.assert_allclose(np.diag(found), 1)
    assert np.all(np.isfinite(alike(np.zeros((2, 2)))))  # models that are sure of everything


@pytest.mark.matrix
def test_models_that_agree_are_taken_to_be_wrong_together() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2, 12)) * 0.1
    errors = np.stack([base[0], base[0] + 0.01 * rng.standard_normal(12), base[1]])
    same = np.array([[1, 0.96, 0], [0.96, 1, 0], [0, 0, 1]])
    lucks = np.tile(1e-4 * same, (12, 1, 1))
    found = covariance(errors, lucks, same)
    correlation = found / np.sqrt(np.outer(np.diag(found), np.diag(found)))
    assert correlation[0, 1] > 0.8 and abs(correlation[0, 2]) < 0.6
    assert np.linalg.eigvalsh(found).min() > 0
    strangers = covariance(errors, lucks, np.eye(3))
    assert strangers[0, 1] < found[0, 1]


@pytest.mark.matrix
def test_errors_that_luck_explains_are_no_errors_of_the_forecast() -> None:
    luck = 0.002 * (np.eye(3) + 0.5)
    errors = np.random.default_rng(0).multivariate_normal(np.zeros(3), luck, 40).T
    believed = [np.trace(covariance(errors, np.tile(share * luck, (40, 1, 1)), np.eye(3))) for share in (1e-3, 0.5, 1)]
    assert believed[0] > believed[1] > 1.5 * believed[2]


@pytest.mark.matrix
def test_a_test_counts_as_shifted_when_a_sign_has_clearly_moved() -> None:
    rng = np.random.default_rng(0)
    before = rng.standard_normal((800, 2))
    assert shifted(before[:400], before[400:]) < 0.5
    assert shifted(before, before[:0:-1]) == 0
    assert shifted(before, before[:300] + np.array([0, 0.5])) == 1
    flat = np.ones((50, 2))
    assert shifted(flat, flat) == 0


@pytest.mark.matrix
def test_the_consensus_believes_the_models_that_stress_did_not_break() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 600)
    good = 0.7 * np.eye(3)[y] + 0.3 * rng.dirichlet(np.ones(3), 600)
    proba = np.stack([good, *(rng.dirichlet(np.full(3, 0.3), 600) for _ in range(4))])
    found = learn(proba, y).posterior(proba)
    assert (found.argmax(1) == y).mean() > 0.95 > (proba.mean(0).argmax(1) == y).mean()
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(learn(proba[order], y).posterior(proba[order]), found, atol=1e-6)


@pytest.mark.matrix
@pytest.mark.parametrize("classes", [2, 3])
def test_weights_by_class_learn_which_class_a_model_mistakes_for_which(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, classes, 500)
    turned = 0.8 * np.eye(classes)[(y + 1) % classes] + 0.2 / classes  # surely wrong, and always in the same way
    proba = np.stack([turned, *(rng.dirichlet(np.ones(classes), 500) for _ in range(2))])
    found = learn_by_class(proba, y).posterior(proba)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == y).mean() > 0.99
    rare = np.concatenate([proba, np.full((3, 500, 1), 1e-3)], axis=2)  # a class without a row
    assert (learn_by_class(rare, y).posterior(rare)[:, :classes].argmax(1) == y).mean() > 0.99
    monkeypatch.setattr(consensus, "WORK", 0)
    np.testing.assert_array_equal(learn_by_class(proba, y).posterior(proba), learn(proba, y).posterior(proba))


@pytest.mark.matrix
def test_intervals_hold_more_where_the_test_is_small_and_at_a_higher_level() -> None:
    evidence, _ = made(4, None)
    widths = [
        forecast(evidence, MIXTURE, size, level=level)[2].high - forecast(evidence, MIXTURE, size, level=level)[2].low
        for size, level in ((2000, 0.9), (50, 0.9), (50, 0.99))
    ]
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.matrix
def test_a_forecast_is_repeatable() -> None:
    evidence, _ = made(5, 0.3, n=200, tests=100)
    first, second = forecast(evidence, MIXTURE, 300), forecast(evidence, MIXTURE, 300)
    assert first == second


@pytest.mark.matrix
def test_one_model_alone_is_forecast_too() -> None:
    evidence, truth = made(6, 0.5)
    cut = {name: getattr(evidence, name)[:1] for name in ("names", "clean", "stressed", "test")}
    (found,) = forecast(replace(evidence, **cut), MIXTURE, 2000)
    assert found.low <= truth[0] <= found.high


@pytest.mark.matrix
def test_a_line_goes_through_the_clean_score_and_bends_only_so_far() -> None:
    clean, stressed = np.full(20, 0.9), np.full(20, 0.7)
    line = anchored(clean, stressed, 0.8, 0.5)
    assert (line.rate(clean).mean(), line.rate(stressed).mean()) == (pytest.approx(0.8), pytest.approx(0.5))
    assert anchored(clean, stressed, 0.8, 0.0).slope == 2.0
    assert anchored(clean, clean, 0.8, 0.0).rate(clean).mean() == pytest.approx(0.8)


@pytest.mark.matrix
def test_weights_of_past_scores_are_the_constrained_minimum() -> None:
    rng = np.random.default_rng(0)
    cells, prior = rng.random((4, 5)), np.array([0.4, 0.2, 0.2, 0.1, 0.1])
    scores, errors = cells @ np.array([0, 0.7, 0.3, 0, 0]), np.full(4, 0.02)
    found = explain(cells, scores, errors, prior, 3.0)
    spread = prior * (1 - prior) / 4

    def loss(w: np.ndarray) -> float:
        return float((((scores - cells @ w) / errors) ** 2).sum() + ((w - prior) ** 2 / spread).sum())

    best = minimize(loss, prior, bounds=[(0, 1)] * 5, constraints={"type": "eq", "fun": lambda w: w.sum() - 1})
    assert loss(np.array(found.weights)) == pytest.approx(best.fun, rel=1e-3)
    assert sum(found.weights) == pytest.approx(1)
    assert not found.warning


@pytest.mark.matrix
def test_few_scores_warn_and_none_leave_the_prior() -> None:
    cells, prior = np.array([[0.9, 0.5], [0.8, 0.3]]), np.array([0.5, 0.5])
    none = explain(cells[:0], np.zeros(0), np.zeros(0), prior, 3.0)
    np.testing.assert_allclose(none.weights, prior, atol=1e-6)
    two = explain(cells, np.array([0.6, 0.42]), np.full(2, 0.01), prior, 3.0)
    assert "2 past scores are too few" in two.warning
    assert len(two.left_out) == 2
    assert two.weights[1] > 0.6


@pytest.mark.matrix
def test_a_cell_without_weight_stays_without() -> None:
    cells = np.array([[0.9, 0.5, 0.1]])
    found = explain(cells, np.array([0.1]), np.array([0.01]), np.array([0.5, 0.5, 0.0]), 3.0)
    assert found.weights[2] == 0


def rare(*, positives: int) -> Evidence:
    """Four models and two classes, of which the second has few rows, and so not in every family."""
    rng = np.random.default_rng(4)
    y = (np.arange(400) < positives).astype(int)
    shown = 1 / (1 + np.exp(3 - 3 * y - rng.standard_normal((4, 400))))
    clean = np.stack([1 - shown, shown], axis=2)
    families = np.array(FAMILIES)[np.arange(400) % 5]
    return Evidence(tuple("abcd"), y, clean, np.arange(400), families, np.ones(400, int), clean**0.7, metric="auc")


@pytest.mark.matrix
def test_families_without_a_score_are_left_out_and_the_clean_rows_still_give_exactly_the_clean_score() -> None:
    evidence = rare(positives=3)
    calibration = calibrate(evidence)
    assert calibration.errors.shape == (4, 3) and calibration.lucks.shape == (3, 4, 4)
    mean = from_test(calibration, evidence.clean).cases[0].mean
    np.testing.assert_allclose(mean, evidence.clean_values.mean(1), atol=1e-9)
    assert calibrate(rare(positives=5)).errors.shape == (4, 5)


def test_where_every_row_drawn_is_of_one_class_the_likeliest_one_is_of_the_other() -> None:
    evidence, sure = rare(positives=9), np.array([0.0, 1e-9, 1e-12, 1e-12])
    proba = evidence.clean[:, :4]
    found = believed(evidence, proba, np.stack([1 - sure, sure], axis=1))
    np.testing.assert_allclose(found, [evidence.values(np.array([0, 1, 0, 0]), proba)] * draws_for(evidence))


@given(st.integers(0, 100), st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_votes_of_a_picture_agree_as_often_as_those_held_out(seed: int, alike: float) -> None:
    rng, even = np.random.default_rng(seed), np.full((1, 3000, 4), 0.25)
    votes = np.where(rng.random((3000, 5)) < alike, rng.integers(0, 4, (3000, 1)), rng.integers(0, 4, (3000, 5)))
    y, task = (votes[:, :, None] == np.arange(4)).mean(1), TASKS["soft"]
    evidence = Evidence(("a",), y, even, np.arange(9), np.full(9, "noise"), np.ones(9, int), even[:, :9], task=task)
    evidence = replace(evidence, metric="brier", classes=tuple("abcd"))
    drawn = believed(evidence, even, np.full((15_000, 4), 0.25))
    np.testing.assert_allclose(drawn.mean(), evidence.clean_values.mean(), atol=0.02)


@pytest.mark.matrix
def test_mistakes_are_named() -> None:
    evidence, _ = made(7, 0.3, n=60, tests=60)
    with pytest.raises(DataError, match="'rex'"):
        forecast(evidence, MIXTURE, 100, {"rex": 0.5})
    with pytest.raises(DataError, match="no stressed rows of the family 'motion-blur'"):
        evidence.cells(Mixture(("motion-blur",)))
    with pytest.raises(DataError, match="test predictions"):
        replace(evidence, test=np.zeros((2, 9, 5)))
    with pytest.raises(DataError, match="stressed rows"):
        replace(evidence, clean=evidence.clean[:3])
    with pytest.raises(DataError, match="must be positive"):
        explain(np.ones((1, 2)), np.ones(1), np.zeros(1), np.full(2, 0.5), 3.0)
    assert np.isfinite(believe(evidence, MIXTURE).cases[0].mean).all()
