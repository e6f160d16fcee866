"""Blends fitted on clean rows, on stressed ones, or on both: what they see, and what they must not."""

from __future__ import annotations

import numpy as np
import pytest
from libraries import library

from kit.errors import DataError
from kit.judge import blend
from kit.store.candidate import StoredBlend

pytestmark = pytest.mark.stage


def pair(seed, *, members=4, rows=300, classes=3):
    """Return clean and stressed predictions of the same rows; under stress the first member is worthless."""
    proba, y, fold = library(seed, members=members, rows=rows, classes=classes)
    rng = np.random.default_rng(seed + 1)
    share = np.r_[1.0, rng.uniform(0.2, 0.5, members - 1)][:, None, None]
    noise = rng.dirichlet(np.ones(classes), size=(members, rows))
    return proba, (1 - share) * proba + share * noise, y, fold


def test_stressed_rows_change_nothing_where_the_fit_is_on_clean_ones():
    proba, stressed, y, fold = pair(0)
    alone, beside = blend.fit(proba, y, fold), blend.fit(proba, y, fold, stressed=stressed)
    assert beside.params == alone.params
    assert beside.nested == alone.nested
    assert beside.stressed is not None and beside.stressed.score > beside.nested.score
    assert alone.stressed is None


def test_a_fit_on_stressed_rows_is_the_fit_of_these_rows():
    proba, stressed, y, fold = pair(1)
    found = blend.fit(proba, y, fold, stressed=stressed, fit_on="stressed")
    assert found.params == blend.fit(stressed, y, fold).params
    assert found.weights[0] < min(found.weights[1:])


@pytest.mark.parametrize("fit_on", list(blend.FIT_ON))
def test_a_row_is_scored_by_a_blend_that_saw_neither_it_nor_its_twin(fit_on):
    proba, stressed, y, fold = pair(2, rows=120)
    before = blend.fit(proba, y, fold, stressed=stressed, fit_on=fit_on)
    held = fold == 0
    turned = np.where(held, (y + 1) % 3, y)
    after = blend.fit(proba, turned, fold, stressed=stressed, fit_on=fit_on)
    assert np.allclose(before.oof[held], after.oof[held], atol=1e-9)
    assert np.allclose(before.stressed_oof[held], after.stressed_oof[held], atol=1e-9)
    assert not np.allclose(before.oof[~held], after.oof[~held], atol=1e-9)


def test_twins_stay_together_where_there_is_one_fold_only():
    proba, _, y, fold = pair(3, rows=100)
    found = blend.fit(proba, y, np.zeros_like(fold), stressed=proba, fit_on="mixture")
    assert np.allclose(found.oof, found.stressed_oof)


def test_each_fit_does_best_on_the_rows_that_it_was_made_for():
    proba, stressed, y, fold = pair(4, rows=900)
    found = {name: blend.fit(proba, y, fold, stressed=stressed, fit_on=name) for name in blend.FIT_ON}
    assert found["stressed"].stressed.score < found["clean"].stressed.score
    assert found["clean"].nested.score < found["stressed"].nested.score
    both = {name: one.stressed.score + one.nested.score for name, one in found.items()}
    assert min(both, key=both.get) == "mixture"


def test_the_json_keeps_what_it_was_fitted_on():
    proba, stressed, y, fold = pair(5, rows=90)
    found = blend.fit(proba, y, fold, stressed=stressed, fit_on="mixture")
    again = StoredBlend.model_validate_json(found.to_json())
    assert np.array_equal(again.apply(proba), found.apply(proba))
    assert again.fit_on == "mixture" and again.stressed.score == found.stressed.score


def test_stressed_rows_that_do_not_fit_are_refused():
    proba, stressed, y, fold = pair(6, rows=60)
    with pytest.raises(DataError, match="stressed predictions have shape"):
        blend.fit(proba, y, fold, stressed=stressed[:, :50])
    with pytest.raises(DataError, match="cannot be fitted on 'stressed'"):
        blend.fit(proba, y, fold, fit_on="stressed")
