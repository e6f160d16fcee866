"""Weights that differ by class: the solver against oracles, and blends in which they are needed."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from libraries import library, softmax
from scipy.optimize import approx_fprime, minimize

from kit.judge import blend
from kit.judge.blend.candidates import CANDIDATES
from kit.judge.blend.logit import Classwise, minimise
from kit.judge.blend.nested import Procedure
from kit.judge.blend.result import Options
from kit.judge.blend.rows import check, with_stress
from kit.runtime import pool
from kit.store.blend import Pool

SCALES = (0.5, 0.2, 0.6)
FORMS = pytest.mark.parametrize("full", [True, False], ids=["full", "diagonal"])


def problem(seed, *, rows=150, classes=3):
    proba, y, _ = library(seed, members=2, rows=rows, classes=classes)
    return pool.log_proba(proba), np.log(proba.mean(axis=0)), y


def said(logs, offset, slopes, weights, bias):
    """The pool as its definition has it, member by member."""
    z = offset + bias
    for x, slope, of in zip(logs, slopes, weights, strict=True):
        z = z + slope * x + (x @ of if len(of) > 1 else x * of[0])
    return softmax(z)


@FORMS
def test_no_other_weights_are_better_than_the_bound_allows(full):
    logs, offset, y = problem(0)
    pooled = Classwise(logs, offset, y, SCALES, full)
    fitted = minimise(pooled)
    slopes, weights, bias = pooled.split(fitted.theta)
    sizes = (2, weights.size, 3)
    ridge = np.repeat(np.array(SCALES) ** -2.0, sizes) / len(y)

    def loss(theta):
        parts = np.split(theta, np.cumsum(sizes)[:-1])
        proba = said(logs, offset, parts[0], parts[1].reshape(weights.shape), parts[2])
        return -np.log(proba[np.arange(len(y)), y]).mean() + (ridge * theta**2).sum() / 2

    found = loss(np.concatenate([slopes, weights.ravel(), bias]))
    assert fitted.bound <= 1e-9
    assert found <= minimize(loss, np.zeros(sum(sizes)), tol=1e-10).fun + 1e-9


@FORMS
def test_the_hessian_is_the_derivative_of_the_gradient(full):
    logs, offset, y = problem(1, rows=40)
    each = Classwise(logs, offset, y, SCALES, full)
    theta = np.random.default_rng(0).normal(size=len(each.ridge)) * 0.1
    expected = approx_fprime(theta, lambda t: each.evaluate(t)[1], 1e-6)
    assert np.allclose(each.hessian(each.evaluate(theta)[2]), expected, atol=1e-5)
    gradient = approx_fprime(theta, lambda t: each.evaluate(t)[0], 1e-6)
    assert np.allclose(each.evaluate(theta)[1], gradient, atol=1e-5)


@FORMS
def test_an_infinite_ridge_leaves_the_mean(full):
    logs, offset, y = problem(2)
    pooled = Classwise(logs, offset, y, (1e-7, 1e-7, 1e-7), full)
    assert np.allclose(said(logs, offset, *pooled.split(minimise(pooled).theta)), softmax(offset), atol=1e-6)


@FORMS
def test_the_start_does_not_move_the_minimum(full):
    logs, offset, y = problem(3, rows=300)
    whole = minimise(Classwise(logs, offset, y, SCALES, full))
    part = np.arange(300) % 3 > 0
    pooled = Classwise(logs[:, part], offset[part], y[part], SCALES, full)
    one, other = (pooled.split(minimise(pooled, start).theta) for start in (None, whole))
    assert np.allclose(one[1], other[1], atol=1e-4)


def specialists(rows=1500, classes=4):
    """Two members; each confuses half of the classes, and knows the other half, in its own way."""
    rng = np.random.default_rng(0)
    y = rng.integers(classes, size=rows)
    logits = 3 * np.eye(classes)[y] + rng.normal(size=(2, rows, classes))
    for member, blind in enumerate(([0, 1], [2, 3])):
        logits[member][:, blind] = logits[member][:, blind[::-1]] * 1.5 - 1
    return softmax(logits), y, np.arange(rows) % 5


def test_members_that_know_classes_differently_are_weighted_by_class():
    proba, y, fold = specialists()
    fitted = blend.fit(proba, y, fold)
    share = sum(found.share for name, found in fitted.candidates.items() if name.startswith("class-specific"))
    assert share > 0.95
    others = [found.score for name, found in fitted.candidates.items() if not name.startswith("class-specific")]
    assert fitted.nested.score < 0.8 * min(others)


def test_what_travels_says_the_same_after_json_and_without_members_that_do_not_count():
    proba, y, fold = specialists()
    three = np.concatenate([proba[:1], proba])  # the second is a copy and left out
    fitted = blend.fit(three, y, fold)
    params = Pool.model_validate_json(json.dumps(fitted.params.plain()))
    params.check(3, 1, 4)
    assert np.array_equal(params.apply(three), fitted.apply(three))
    narrow = params.narrowed()
    assert len(narrow.parts[0].weights) == 2
    assert np.allclose(narrow.apply(three[[0, 2]]), fitted.apply(three))
    with pytest.raises(ValueError, match="class_slopes: a list of length 3, expected 4"):
        slopes = tuple(tuple(row[:3] for row in of) for of in params.parts[0].class_slopes)
        broken = params.parts[0].model_copy(update={"class_slopes": slopes})
        params.model_copy(update={"parts": (broken,)}).check(3, 1, 4)


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize(("rows", "expected"), [(50, 1), (60, 4)])
def test_the_full_form_needs_more_units_than_weights_and_every_nested_fit_has_that_of_the_blend(rows, expected, copies):
    """With 2 members and 4 classes: more than 32 units in 3 of 5 folds."""
    proba, y, _ = library(0, members=2, rows=rows, classes=4)
    unit = np.repeat(np.arange(rows), copies)
    proba, y, fold = proba[:, unit], y[unit], unit % 5
    data = with_stress(check(proba, y, fold, Options(), unit), proba, Options())
    group, used = data.fold, np.ones(len(data.y), dtype=bool)
    procedure = Procedure(data, group, {"it": CANDIDATES["class-specific, scale 0.1"]}, Options(), used)
    whole = procedure.fit(used)
    for j, k in combinations(range(-1, 5), 2):
        fitted = procedure.fit((group != j) & (group != k), whole).candidates[0].part
        assert np.shape(fitted["class_slopes"]) == (2, expected, 4)
