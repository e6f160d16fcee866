"""Telling sets apart: silent where there is nothing to tell, loud where there is, right against oracles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from kit.errors import DataError
from kit.images.corrupt import corrupt
from kit.images.sources import practice
from kit.judge.metrics.ranks import auc_curve
from kit.judge.shift.outputs import detect, estimate
from kit.judge.shift.pictures import NAMES, adversarial, image_statistics
from kit.judge.units import mean_error

pytestmark = pytest.mark.matrix


def outputs(rng: np.random.Generator, prior: np.ndarray, n: int, sharp: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Exactly calibrated probabilities of Gaussian classes under a uniform prior, and labels under ``prior``."""
    classes = len(prior)
    y = rng.choice(classes, n, p=prior)
    x = rng.standard_normal((n, classes)) + sharp * np.eye(classes)[y]
    proba = np.exp(sharp * x)
    return proba / proba.sum(1, keepdims=True), y


def test_halves_of_one_set_are_alike_and_noisy_pictures_are_not() -> None:
    images = practice.make(n=300, size=32).images
    train, test = images[::2], images[1::2]
    table = image_statistics(train).astype(float)
    alike = adversarial(table, image_statistics(test).astype(float), 0, NAMES)
    assert abs(alike.auc - 0.5) < 0.12
    assert alike.pvalue > 0.01
    noisy = corrupt(test, "noise", 3, np.arange(len(test)))
    apart = adversarial(table, image_statistics(noisy).astype(float), 0, NAMES)
    assert apart.auc > 0.9
    assert apart.pvalue < 1e-6
    assert apart.telling[0][0] == "fine detail"
    assert apart.telling[0][1] > 0.5
    assert np.median(apart.test_likeness) > np.median(apart.train_likeness)


def test_the_corrupted_pictures_of_a_test_are_the_ones_named() -> None:
    images = practice.make(n=400, size=32).images
    train, test = images[:200], images[200:].copy()
    test[:50] = corrupt(test[:50], "brightness-down", 5, np.arange(50))
    found = adversarial(image_statistics(train).astype(float), image_statistics(test).astype(float), 0, NAMES)
    assert np.mean(np.argsort(-found.test_likeness)[:40] < 50) > 0.9


def test_the_standard_error_of_the_area_is_its_spread_over_samples() -> None:
    rng = np.random.default_rng(0)
    holds = np.arange(140) < 60
    curves = [auc_curve(holds, rng.standard_normal(140) + holds) for _ in range(600)]
    found = np.array([(area, mean_error(influence, None)) for area, influence in curves])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)


def test_more_rows_than_are_drawn_leave_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.judge.shift.pictures.MAXIMUM", 50)
    rng = np.random.default_rng(0)
    found = adversarial(rng.standard_normal((80, 2)), rng.standard_normal((30, 2)), 0, "ab")
    assert np.isfinite(found.train_likeness).sum() == 50
    assert np.isfinite(found.test_likeness).all()


def test_tables_that_do_not_match_are_refused() -> None:
    with pytest.raises(DataError, match="do not match"):
        adversarial(np.zeros((9, 2)), np.zeros((9, 3)), 0, NAMES)
    with pytest.raises(DataError, match="each set needs at least 5"):
        adversarial(np.zeros((9, 2)), np.zeros((4, 2)), 0, NAMES)
    with pytest.raises(DataError, match="finite"):
        adversarial(np.full((9, 2), np.nan), np.zeros((9, 2)), 0, NAMES)
    with pytest.raises(DataError, match="do not match"):
        detect(np.zeros((9, 2)), np.zeros((9, 3)))
    with pytest.raises(DataError, match="no training rows"):
        estimate(np.full((9, 2), 0.5), np.array([1.0, 0.0]))


@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (8, 8), (33, 20)])
def test_statistics_are_finite_and_each_pictures_own(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape, 3), np.uint8)
    table = image_statistics(images)
    assert table.shape == (6, len(NAMES))
    assert np.isfinite(table).all()
    np.testing.assert_allclose(image_statistics(images[2:3])[0], table[2], rtol=1e-4, atol=1e-4)


def test_outputs_of_one_source_raise_an_alarm_no_oftener_than_they_say() -> None:
    rng = np.random.default_rng(0)
    even = np.full(4, 0.25)
    alarms = [detect(outputs(rng, even, 300)[0], outputs(rng, even, 200)[0]) < 0.05 for _ in range(200)]
    assert np.mean(alarms) <= 0.07


def test_other_classes_and_less_sure_outputs_raise_the_alarm() -> None:
    rng = np.random.default_rng(0)
    even = np.full(4, 0.25)
    oof = outputs(rng, even, 1000)[0]
    assert detect(oof, outputs(rng, np.array([0.55, 0.15, 0.15, 0.15]), 500)[0]) < 1e-6
    assert detect(oof, outputs(rng, even, 500, sharp=1.0)[0]) < 1e-6


def test_em_finds_the_maximum_of_the_likelihood() -> None:
    rng = np.random.default_rng(1)
    train = np.full(3, 1 / 3)
    proba, _ = outputs(rng, np.array([0.6, 0.3, 0.1]), 800, 1.2)
    found = estimate(proba, train)

    def loss(z: np.ndarray) -> float:
        prior = np.exp(z) / np.exp(z).sum()
        return -float(np.log(proba @ (prior / train)).sum())

    best = minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(found.prior, np.exp(best) / np.exp(best).sum(), atol=1e-4)
    np.testing.assert_allclose(found.prior, [0.6, 0.3, 0.1], atol=0.06)
    assert found.pvalue < 1e-10
    assert chi2.isf(found.pvalue, 2) == pytest.approx(2 * (loss(np.zeros(3)) - loss(best)), rel=1e-4)


def test_the_test_of_no_prior_shift_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    train = np.full(3, 1 / 3)
    pvalues = np.array([estimate(outputs(rng, train, 300)[0], train).pvalue for _ in range(200)])
    assert 0.01 <= np.mean(pvalues < 0.05) <= 0.1


def test_adjusting_to_the_right_prior_helps() -> None:
    rng = np.random.default_rng(0)
    prior, train = np.array([0.8, 0.1, 0.1]), np.full(3, 1 / 3)
    proba, y = outputs(rng, prior, 3000, 1.0)
    better = proba * (np.array(estimate(proba, train).prior) / train)  # Bayes' rule
    assert (better.argmax(1) == y).mean() > (proba.argmax(1) == y).mean() + 0.02
