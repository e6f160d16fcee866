"""What is done otherwise for large sets, on small ones that are taken for large."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import library

from kit.judge import blend, score
from kit.judge.blend import rows, worth
from kit.judge.blend.candidates import CANDIDATES, candidates
from kit.judge.blend.convex import convex_weights, leave_one_out
from kit.runtime import pool

pytestmark = pytest.mark.stage


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set is large, is worked on a few rows at a time, and has more rows than a temperature needs."""
    for module, name, value in (
        (rows, "LARGE", 0),
        (rows, "FEW", 0),
        (rows, "LEAST_ROWS", 400),
        (worth, "MANY", 0),
        (pool, "BLOCK", 1000),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("metric", ["nll", "accuracy"])
@pytest.mark.parametrize("views", [1, 2])
def test_a_large_set_gives_nearly_the_same_blend(metric, views, large, monkeypatch):
    proba, y, fold = library(0, members=4, rows=900, classes=3)
    if views == 2:
        proba = np.stack([proba, library(1, members=4, rows=900, classes=3)[0] / 2 + proba / 2], axis=1)
    found = blend.fit(proba.astype(np.float32), y, fold, metric=metric)
    monkeypatch.undo()
    exact = blend.fit(proba, y, fold, metric=metric)
    assert abs(found.oof - exact.oof).max() < 0.05
    error = (exact.nested.high - exact.nested.low) / 4
    assert abs(found.nested.score - exact.nested.score) < 0.3 * error
    assert np.allclose(found.oof.sum(axis=1), 1) and found.gap < 1e-9 and found.bound < 0.02 / 300


def test_a_large_set_is_deterministic_and_applies_in_blocks(large, monkeypatch):
    proba, y, fold = library(2, members=3, rows=800, classes=4)
    one, other = blend.fit(proba, y, fold), blend.fit(proba, y, fold)
    assert np.array_equal(one.oof, other.oof) and one.params == other.params
    inside = one.apply(proba)
    monkeypatch.undo()
    assert np.allclose(inside, one.apply(proba), atol=1e-12)
    assert score.score("nll", y, inside) < score.score("nll", y, proba.mean(axis=0))


def test_a_large_set_tries_one_candidate_at_least_of_each_family():
    tried = {name.split(",")[0] for name in candidates(3, 3, large=True)}
    assert tried == {name.split(",")[0] for name in CANDIDATES}
    assert "centred, scale 0.3" in candidates(1, 3, large=True)


def test_weights_without_a_member_are_nearly_those_of_a_fit_without_it():
    proba, y, _ = library(3, members=5, rows=3000, classes=3)
    q = proba[:, np.arange(3000), y].T
    without = leave_one_out(q, convex_weights(q, pseudo_rows=5).weights, pseudo_rows=5)
    assert (np.diag(without) == 0).all() and np.allclose(without.sum(axis=1), 1)
    for m, weights in enumerate(without):
        least = convex_weights(np.delete(q, m, 1), pseudo_rows=4).weights
        best = np.log(np.delete(q, m, 1) @ least).mean()
        lost = np.log(q @ np.full(5, 0.2)).mean()
        assert best - np.log(q @ weights).mean() < 0.05 * abs(best - lost) + 1e-6
