"""Learning rates and stopping are pure functions of the position and of what was watched."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.config import StageConfig
from kit.runs.results import epochs_since_best
from kit.stages.train.steering import SHAPES, count_falls, learning_rate

STEPS = 7


def stage(schedule: Any, epochs: int = 12, lr: float = 0.1) -> StageConfig:
    return StageConfig(train="all", epochs=epochs, lr=lr, schedule=schedule)


@pytest.mark.parametrize("kind", SHAPES)
@given(st.integers(0, 12 * STEPS - 1), st.floats(0, 3), st.floats(0, 0.5), st.integers(0, 5))
def test_a_rate_is_positive_or_zero_and_at_most_the_stages_own(
    kind: str, step: int, warmup: float, floor: float, falls: int
) -> None:
    schedule = {"kind": kind, "warmup": warmup, "floor": floor}
    rate = learning_rate(stage(schedule), step, STEPS, falls)
    assert 0 <= rate <= 0.1 * (1 + 1e-9)
    if step >= round(warmup * STEPS):
        assert rate >= 0.1 * floor * (1 - 1e-9)


def test_warm_up_rises_evenly_to_where_the_schedule_begins() -> None:
    warm = stage({"kind": "constant", "warmup": 1})
    rates = [learning_rate(warm, step, STEPS) for step in range(10)]
    assert np.allclose(rates, [0.1 * min(1, (step + 1) / STEPS) for step in range(10)])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.booleans())
def test_epochs_since_best_count_from_the_first_best_epoch(values: list[float], greater: bool) -> None:
    best = max(values) if greater else min(values)
    assert epochs_since_best(values, greater) == len(values) - 1 - values.index(best)


def test_an_improvement_below_the_threshold_is_none() -> None:
    assert epochs_since_best([1.0, 0.95, 0.91], False, min_delta=0.1) == 2
    assert epochs_since_best([1.0, 0.95, 0.89], False, min_delta=0.1) == 0


@given(st.lists(st.floats(0, 1), max_size=40), st.booleans(), st.integers(1, 5))
def test_falls_never_decrease_as_epochs_are_added(values: list[float], greater: bool, patience: int) -> None:
    falls = [count_falls(values[:n], greater, patience) for n in range(len(values) + 1)]
    assert all(0 <= after - before <= 1 for before, after in pairwise(falls))
    assert falls[-1] <= len(values) // patience


def test_a_rate_on_a_plateau_falls_after_patience_and_then_waits_anew() -> None:
    assert [count_falls([1.0] * n, False, 2) for n in range(8)] == [0, 0, 0, 1, 1, 2, 2, 3]
    assert learning_rate(stage({"kind": "plateau", "decay": 0.5}), 0, STEPS, falls=2) == pytest.approx(0.025)


@pytest.mark.tf
@pytest.mark.parametrize(
    ("schedule", "name", "keys"),
    [
        ({"kind": "cosine", "floor": 0.1}, "CosineDecay", {"decay_steps": 12 * STEPS, "alpha": 0.1}),
        (
            {"kind": "restarts", "cycle": 3, "growth": 2},
            "CosineDecayRestarts",
            {"first_decay_steps": 3 * STEPS, "t_mul": 2.0},
        ),
        ({"kind": "exponential", "decay": 0.7}, "ExponentialDecay", {"decay_steps": STEPS, "decay_rate": 0.7}),
    ],
)
def test_schedules_are_those_of_keras(schedule: dict[str, Any], name: str, keys: dict[str, Any]) -> None:
    import keras

    theirs = getattr(keras.optimizers.schedules, name)(0.1, **keys)
    steps = range(0, 12 * STEPS, 5)
    ours = [learning_rate(stage(schedule), step, STEPS) for step in steps]
    assert np.allclose(ours, [float(theirs(step)) for step in steps], atol=1e-6)


@pytest.mark.tf
@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=15), st.integers(1, 4))
def test_early_stopping_ends_where_that_of_keras_does(values: list[float], patience: int) -> None:
    import keras

    class Model:
        stop_training = False

    callback = keras.callbacks.EarlyStopping("v", patience=patience, mode="min")
    callback.set_model(Model())
    callback.on_train_begin()
    ended = math.inf
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"v": value})
        if callback.model.stop_training:
            ended = epoch
            break
    ours = [n for n in range(len(values)) if epochs_since_best(values[: n + 1], False) >= patience]
    assert (ours[0] if ours else math.inf) == ended
