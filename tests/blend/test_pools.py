"""Temperatures, log-linear pools and greedy selection against oracles."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import library, softmax
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from kit.judge.blend.candidates import CANDIDATES, candidates, greedy_weights
from kit.judge.blend.logit import fit_logit_pool
from kit.judge.blend.rows import Rows
from kit.judge.blend.temperature import SCALE, fit_temperature
from kit.runtime.pool import apply_part, log_proba, ranks


def test_the_temperature_is_the_minimum_of_the_penalised_loss():
    proba, y, _ = library(0, members=1, rows=300, classes=4)
    logs = 2.5 * log_proba(proba[0])

    def loss(t):
        fit = softmax(logs / np.exp(t[0]))[np.arange(300), y]
        return -np.log(fit).mean() + t[0] ** 2 / (2 * SCALE**2 * 300)

    assert fit_temperature(logs, y) == pytest.approx(np.exp(minimize(loss, [0.0]).x[0]), rel=1e-3)


def test_the_temperature_of_many_rows_is_that_of_scikit_learn():
    calibration = pytest.importorskip("sklearn.calibration")
    if not hasattr(calibration, "_TemperatureScaling"):
        pytest.skip("scikit-learn before 1.8")
    proba, y, _ = library(1, members=1, rows=20_000, classes=3)
    logs = 3.0 * log_proba(proba[0])
    theirs = calibration._TemperatureScaling().fit(logs, y)
    assert fit_temperature(logs, y) == pytest.approx(1.0 / theirs.beta_, rel=5e-3)


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_a_known_temperature_is_found_again(scale):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20_000, 4)) * 2
    y = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    assert fit_temperature(z * scale, y) == pytest.approx(scale, rel=0.04)


def test_twenty_rows_that_are_all_right_do_not_send_the_temperature_to_zero():
    y = np.arange(20) % 2
    logs = np.log(np.where(np.eye(2)[y] > 0, 0.8, 0.2))
    assert 0.2 < fit_temperature(logs, y) < 1.0


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_bound_of_the_logit_pool_covers_the_distance_to_the_minimum(scale):
    proba, y, _ = library(2, members=3, rows=120, classes=3)
    features, ridge = log_proba(proba), np.full(6, scale**-2.0)

    def loss(theta):
        z = features.mean(axis=0) + np.tensordot(theta[:3], features, 1) + theta[3:]
        return -np.log(softmax(z)[np.arange(120), y]).mean() + (ridge * theta**2).sum() / 240

    fitted = fit_logit_pool(features, features.mean(axis=0), y, ridge)
    best = minimize(loss, np.zeros(6), tol=1e-12)
    assert fitted.bound <= 1e-9
    assert loss(fitted.theta) <= best.fun + 1e-9


def test_greedy_selection_takes_the_best_member_first_and_never_ends_worse():
    q = np.array([[0.9, 0.2, 0.5], [0.8, 0.3, 0.5], [0.1, 0.9, 0.5]])
    one = greedy_weights(q, rounds=1)
    assert one.tolist() == np.eye(3)[np.log(q).mean(axis=0).argmax()].tolist()
    losses = [-np.log(q @ greedy_weights(q, rounds=k)).mean() for k in (1, 2, 5, 25)]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_is_a_part_that_gives_probabilities(name):
    proba, y, _ = library(3, members=4, rows=90, classes=3)
    fitted = CANDIDATES[name].fit(Rows(log_proba(proba), y))
    out = apply_part(fitted.part, proba)
    assert out.shape == (90, 3)
    assert np.allclose(out.sum(axis=1), 1) and out.min() >= 0
    assert fitted.gap <= 1e-9 and fitted.bound <= 1e-9


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_candidate_permutes_with_the_members(name):
    proba, y, _ = library(4, members=4, rows=90, classes=3)
    order = [2, 0, 3, 1]
    one = apply_part(CANDIDATES[name].fit(Rows(log_proba(proba), y)).part, proba)
    other = apply_part(CANDIDATES[name].fit(Rows(log_proba(proba[order]), y)).part, proba[order])
    assert np.allclose(one, other, atol=1e-6)


def test_a_temperature_leaves_the_arg_max_alone():
    proba, y, _ = library(5, members=3, rows=200, classes=4)
    cooled = apply_part(CANDIDATES["mean-temperature"].fit(Rows(log_proba(proba), y)).part, proba)
    assert np.array_equal(cooled.argmax(axis=1), proba.mean(axis=0).argmax(axis=1))


def test_rank_averages_of_older_blends_order_rows_as_the_mean_of_their_ranks_does():
    proba, y, _ = library(6, members=3, rows=300, classes=2)
    tables = np.quantile(proba, np.linspace(0.0, 1.0, 201), axis=1).transpose(1, 2, 0)
    part = CANDIDATES["mean"].fit(Rows(log_proba(proba), y)).part | {"ranks": tables.tolist()}
    expected = np.mean([rankdata(member[:, 1]) for member in proba], axis=0)
    assert spearmanr(apply_part(part, proba)[:, 1], expected).statistic > 0.9995


def test_ranks_of_values_never_seen_and_of_ties_lie_between_their_neighbours():
    table = [[[0.1, 0.2, 0.2, 0.2, 0.9]]]
    found = ranks(table, np.array([[[0.0], [0.15], [0.2], [0.5], [1.0]]]))[0, :, 0]
    assert found.tolist() == pytest.approx([1e-7, 0.125, 0.5, 0.75 + 0.25 * 3 / 7, 1.0])


def test_a_single_member_is_not_weighted():
    alone = candidates(1)
    assert {"mean", "temperature-mean-temperature", "centred, scale 0.3"} <= set(alone)
    assert not {"best single", "greedy", "convex, prior 1", "log-linear, scale 1"} & set(alone)
    assert set(alone) < set(candidates(2))
