"""View weights: found where they help, dropped where they harm."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import library, softmax

from kit.judge import blend
from kit.judge.blend.convex import fit_views, view_likelihoods, view_weights


def with_views(seed, rows=800):
    """Identity, a helpful view with noise of its own, and a flip that swaps two classes, as with digits."""
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=rows)
    common = 2.0 * np.eye(4)[y] + 0.5 * rng.normal(size=(rows, 4))
    views = [common + rng.normal(size=(2, rows, 4)) for _ in range(3)]
    views[2] = views[2][..., [1, 0, 2, 3]]
    proba = softmax(np.stack(views, axis=1))
    return proba, y, rng.permutation(np.arange(rows) % 5)


def test_a_harmful_flip_is_dropped_and_a_helpful_view_kept():
    proba, y, fold = with_views(0)
    fitted = blend.fit(proba, y, fold, options=blend.Options(views=["identity", "crop", "flip"]))
    assert fitted.views[2] == 0
    assert min(fitted.views[:2]) > 0.3
    assert "view flip does not help and is dropped" in fitted.notes
    assert fitted.view_worth[1][0] > fitted.view_worth[1][1]


def test_identity_alone_where_the_other_view_only_repeats_it_with_noise():
    proba, y, fold = library(0, members=2, rows=300, classes=3)
    noisy = softmax(np.log(proba) + 0.05 * np.random.default_rng(1).normal(size=proba.shape))
    q = view_likelihoods(np.stack([proba, noisy], axis=1), y)
    assert fit_views(q, fold).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("limit", [1, 2])
def test_max_views_keeps_the_views_that_cost_least(limit):
    rng = np.random.default_rng(0)
    q = np.clip(np.column_stack([rng.beta(a, 1, size=500) for a in (3, 2.5, 2, 1.5)]), 1e-6, 1)
    weights = view_weights(q, limit)
    assert (weights > 0).sum() == limit
    assert weights.sum() == pytest.approx(1)
    assert weights[0] > 0


def test_a_blend_with_views_refuses_another_number_of_them():
    proba, y, fold = with_views(1, rows=200)
    fitted = blend.fit(proba, y, fold)
    with pytest.raises(ValueError, match="2 views given, the blend has 3"):
        fitted.apply(proba[:, :2])
    with pytest.raises(ValueError, match="1 views given, the blend has 3"):
        fitted.apply(proba[:, 0])
