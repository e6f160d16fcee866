"""Scores and blends of rows that belong together: a group counts once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_score import draw

from kit.config.competition import METRICS
from kit.errors import DataError
from kit.judge import blend, score, units
from kit.judge.blend.nested import fold_groups

sys.path.insert(0, str(Path(__file__).parent / "blend"))

from libraries import library

pytestmark = pytest.mark.stage
OF_CLASSES = [name for name, measure in METRICS.items() if "classes" in measure.tasks]


@pytest.mark.parametrize("metric", OF_CLASSES)
def test_groups_of_one_row_are_no_groups(metric):
    y, proba = draw(0, rows=200)
    alone = vars(score.interval(metric, y, proba, seed=0, resamples=200))
    for groups in (np.arange(200)[::-1], np.full(200, ""), np.array([f"p{row}" for row in range(200)])):
        found = score.interval(metric, y, proba, seed=0, resamples=200, groups=groups)
        assert vars(found) == pytest.approx(alone)


@pytest.mark.parametrize("metric", [name for name in OF_CLASSES if name != "ece"])
def test_rows_that_stand_four_times_over_say_as_much_as_once(metric):
    y, proba = draw(1, rows=300)
    again = np.repeat(np.arange(300), 4)
    once, known = (score.interval(metric, y, proba, seed=0), {"seed": 0, "groups": again})
    found = score.interval(metric, y[again], proba[again], **known)
    assert found.score == pytest.approx(once.score)
    assert found.se == pytest.approx(once.se, rel=0.1)
    assert [found.low, found.high] == pytest.approx([once.low, once.high], abs=0.25 * once.se)
    other = proba**0.5 / (proba**0.5).sum(axis=1, keepdims=True)
    paired = score.difference(metric, y, proba, other, seed=0).se
    assert score.difference(metric, y[again], proba[again], other[again], **known).se == pytest.approx(paired, rel=0.1)
    error = score.standard_errors(metric, y, np.array([proba]), other)
    assert score.standard_errors(metric, y[again], proba[again][None], other[again], again) == pytest.approx(
        error, rel=0.02, abs=1e-9
    )


@given(st.integers(0, 10**6), st.sampled_from(["nll", "accuracy", "macro_f1", "auc"]))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_rows_nor_the_names_of_groups_move_an_interval(seed, metric):
    y, proba = draw(seed, rows=60)
    rng = np.random.default_rng(seed)
    groups, order, renamed = rng.integers(20, size=60), rng.permutation(60), rng.permutation(20)
    one = score.interval(metric, y, proba, seed=1, resamples=100, groups=groups)
    other = score.interval(metric, y[order], proba[order], seed=1, resamples=100, groups=renamed[groups[order]])
    assert [one.score, one.low, one.high, one.se] == pytest.approx([other.score, other.low, other.high, other.se])


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 5)), min_size=2, max_size=40))
def test_the_error_of_a_mean_by_group_is_that_of_its_sums(rows):
    unit, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    names = np.unique(unit)
    departures = np.array([(values - values.mean())[unit == name].sum() for name in names])
    expected = np.sqrt((departures**2).sum() * len(names) / max(len(names) - 1, 1)) / len(values)
    assert units.mean_error(values, unit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("members", [2, 20])
def test_what_is_said_of_the_best_of_equals_is_what_it_loses_on_new_rows(members):
    rng = np.random.default_rng(0)
    real, said = [], []
    for _ in range(60):
        right = rng.random((members, 400)) < 0.8
        y, proba = np.zeros(400, np.int64), np.stack([1 - right * 0.8 - 0.1, right * 0.8 + 0.1], axis=2)[:, :, ::-1]
        flattered, error = score.flattery("accuracy", y, list(proba), seed=0)
        real.append((right.mean(axis=1).max() - 0.8) / error)
        said.append(flattered / error)
    assert np.mean(said) == pytest.approx(np.mean(real), abs=0.35)
    assert np.mean(real) > 0.4


def test_a_member_that_is_evidently_the_best_is_not_flattered():
    y, proba = draw(2, rows=2000)
    worse = [0.5 * proba + 0.5 * proba[np.random.default_rng(k).permutation(2000)] for k in range(10)]
    flattered, error = score.flattery("nll", y, [*worse, proba], seed=0)
    assert flattered < 0.02 * error


@pytest.mark.parametrize("metric", ["nll", "accuracy"])
def test_a_blend_of_rows_that_stand_four_times_over_is_as_sure_as_once(metric):
    proba, y, fold = library(1, members=4, rows=300, classes=3)
    again = np.repeat(np.arange(300), 4)
    once = blend.fit(proba, y, fold, metric=metric)
    found = blend.fit(proba[:, again], y[again], fold[again], metric=metric, groups=again)
    # Of candidates that hardly depend on how many rows there are.
    for name in ("mean-temperature", "temperature-mean-temperature"):
        assert found.candidates[name].se == pytest.approx(once.candidates[name].se, rel=0.2, abs=1e-4)
    width = once.nested.high - once.nested.low
    assert found.nested.high - found.nested.low == pytest.approx(width, rel=0.15)
    assert any("1200 rows are in 300 groups" in note for note in found.notes)


@pytest.mark.parametrize("folds", [1, 2])
def test_rows_of_one_group_are_dealt_out_together(folds):
    groups = np.random.default_rng(0).integers(40, size=120)
    dealt = fold_groups(groups % folds, np.arange(120) % 3, range(120), np.unique(groups, return_inverse=True)[1])
    assert dealt.max() == 4
    assert all(len(set(dealt[groups == name])) == 1 for name in set(groups.tolist()))


def test_a_group_in_two_folds_is_refused_by_name():
    proba, y, fold = library(4, members=2, rows=60, classes=3)
    with pytest.raises(DataError, match="group `p3` has rows in two folds"):
        blend.fit(proba, y, fold, groups=np.array([f"p{row // 10}" if row // 10 == 3 else "" for row in range(60)]))
    with pytest.raises(DataError, match="60 rows, but groups"):
        blend.fit(proba, y, fold, groups=["a"])
    for few in (np.arange(60) % 2, np.zeros(60)):
        with pytest.raises(DataError, match=f"60 rows in {len(set(few))} groups"):
            blend.fit(proba, y, np.zeros(60), groups=few)
    with pytest.raises(TypeError, match="group"):
        blend.fit(proba, y, fold, group=fold)


@pytest.mark.parametrize("missing", ["", None, float("nan")])
def test_a_missing_group_is_that_of_no_other_row(missing: object) -> None:
    found = units.units_of(np.array(["a", missing, "b", missing, "a"], dtype=object), 5)
    assert len(set(found.tolist())) == 4
    assert found[0] == found[4]
    numbers = units.units_of(np.array([1.0, np.nan, 1.0, np.nan]), 4)
    assert len(set(numbers.tolist())) == 3
