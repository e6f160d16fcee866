"""Convex weights and their certificate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import library

from kit.judge.blend.convex import convex_weights, gather


def likelihoods(seed, members=5, rows=200):
    proba, y, _ = library(seed, members=members, rows=rows, classes=4)
    return gather(proba, y)


def cvxpy_optimum(q):
    import cvxpy  # takes seconds to load

    w = cvxpy.Variable(q.shape[1], nonneg=True)
    problem = cvxpy.Problem(cvxpy.Minimize(-cvxpy.sum(cvxpy.log(q @ w)) / len(q)), [cvxpy.sum(w) == 1])
    problem.solve(solver=cvxpy.CLARABEL)
    return problem.value


def test_the_gap_is_never_below_the_suboptimality_cvxpy_finds_for_100_random_weightings():
    q = likelihoods(0)
    optimum = cvxpy_optimum(q)
    for w in np.random.default_rng(0).dirichlet(np.full(5, 0.5), size=100):
        suboptimality = -np.log(q @ w).mean() - optimum
        assert max(np.mean(q / (q @ w)[:, None], axis=0).max() - 1.0, 0.0) >= suboptimality - 1e-8


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_that_of_cvxpy_with_a_gap_below_1e_9(seed):
    q = likelihoods(seed, members=3 + 3 * seed, rows=60 + 100 * seed)
    fitted = convex_weights(q)
    assert fitted.gap <= 1e-9
    assert -np.log(q @ fitted.weights).mean() == pytest.approx(cvxpy_optimum(q), abs=1e-7)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(5, 80), st.sampled_from([0.0, 1.0, 10.0]))
@settings(max_examples=60, deadline=None)
def test_any_likelihoods_get_weights_on_the_simplex_and_a_proof(seed, members, rows, pseudo_rows):
    rng = np.random.default_rng(seed)
    q = np.maximum(rng.beta(0.3, 0.3, size=(rows, members)), 1e-7)
    fitted = convex_weights(q, pseudo_rows=pseudo_rows)
    assert fitted.weights.min() >= 0
    assert fitted.weights.sum() == pytest.approx(1, abs=1e-12)
    assert fitted.gap <= 1e-9


def test_a_gap_that_grows_on_the_way_is_no_reason_to_stop():
    import cvxpy

    q = np.maximum(np.random.default_rng(77).beta(0.3, 0.3, size=(76, 8)), 1e-7)
    fitted = convex_weights(q, pseudo_rows=1.0)
    extended, w = np.vstack([q, np.eye(8)]), cvxpy.Variable(8, nonneg=True)
    shares = np.r_[np.ones(76), np.full(8, 1 / 8)] / 77
    problem = cvxpy.Problem(cvxpy.Maximize(shares @ cvxpy.log(extended @ w)), [cvxpy.sum(w) == 1])
    problem.solve(solver=cvxpy.CLARABEL)
    assert shares @ np.log(extended @ fitted.weights) == pytest.approx(problem.value, abs=1e-7)
    assert fitted.gap <= 1e-9


def test_members_that_nearly_coincide_still_reach_the_optimum():
    q = likelihoods(1)
    nearly = np.hstack([q, q * (1 + 1e-12), q])
    assert convex_weights(nearly).gap <= 1e-9


def test_a_strong_prior_leaves_equal_weights_and_a_member_that_is_always_right_takes_all():
    q = likelihoods(2)
    assert np.allclose(convex_weights(q, pseudo_rows=1e7).weights, 0.2, atol=1e-3)
    q[:, 3] = 1.0
    assert np.allclose(convex_weights(q).weights, np.eye(5)[3], atol=1e-8)


def test_the_start_does_not_change_the_optimum():
    q = likelihoods(3)
    start = np.eye(5)[0]
    assert np.allclose(convex_weights(q).weights, convex_weights(q, start=start).weights, atol=1e-6)


def test_without_rows_the_weights_are_even():
    assert convex_weights(np.empty((0, 4))).weights.tolist() == [0.25] * 4
