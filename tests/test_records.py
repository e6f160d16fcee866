"""Predictions on disk and in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DataError
from kit.store.predictions import Predictions, join, load_predictions


def some(ids: list[str], seed: int = 0) -> Predictions:
    logits = np.random.default_rng(seed).normal(size=(2, len(ids), 3)).astype(np.float32)
    return Predictions(np.array(ids), ("a", "b", "c"), ("identity", "flip-lr"), logits)


def test_predictions_come_back_as_written_and_byte_for_byte(tmp_path: Path) -> None:
    made = some(["x", "y"])
    made.save(tmp_path / "a.npz")
    read = load_predictions(tmp_path / "a.npz")
    read.save(tmp_path / "b.npz")
    assert (read.logits == made.logits).all()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


NAMES = ("a", "b", "c")


def test_folds_are_joined_in_the_order_of_the_index_under_the_names_of_the_classes() -> None:
    first, second = replace(some(["b", "d"], 1), classes=("0", "1", "2")), some(["a", "c"], 2)
    joined = join([first, second], 2, ["a", "b", "c", "d", "nobody held this out"], NAMES)
    assert joined.ids.tolist() == ["a", "b", "c", "d"] and joined.classes == NAMES
    assert joined.views == first.views
    assert (joined.logits[:, 1] == first.logits[:, 0]).all()
    assert (joined.logits[:, 2] == second.logits[:, 1]).all()


@given(st.integers(1, 4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_repeats_are_joined_to_the_log_of_their_mean_probability(n: int, repeats: int, random: Random) -> None:
    ids, parts = [f"row{number}" for number in range(12)], []
    for repeat in range(repeats):
        order = random.sample(ids, len(ids))
        parts += [some(order[fold::n], seed=10 * repeat + fold) for fold in range(n)]
    joined = join(parts, n, ids, NAMES)
    mean = np.mean([join(parts[start : start + n], n, ids, NAMES).proba for start in range(0, len(parts), n)], axis=0)
    assert joined.ids.tolist() == ids
    np.testing.assert_allclose(joined.proba, mean, atol=1e-6)


def test_repeats_of_other_rows_and_folds_of_other_views_are_not_joined() -> None:
    with pytest.raises(DataError, match="1 ids have no prediction, the first is 'y'"):
        join([some(["x", "y"]), some(["x"])], 1, ["x", "y"], NAMES)
    with pytest.raises(DataError, match="different views"):
        join([some(["x"]), some(["y"]).select(["identity"])], 2, ["x", "y"], NAMES)
    with pytest.raises(DataError, match="logits of shape"):
        join([some(["x"])], 1, ["x"], ("a", "b"))


def test_views_are_selected_by_name_in_the_order_asked_for() -> None:
    made = some(["x", "y"])
    turned = made.select(["flip-lr", "identity"])
    assert turned.views == ("flip-lr", "identity")
    assert (turned.logits == made.logits[::-1]).all()
    assert (made.select(["flip-lr"]).logits == made.logits[1:]).all()
    with pytest.raises(DataError, match="there are no predictions for view 'rot90', only for identity, flip-lr"):
        made.select(["identity", "rot90"])


def test_probabilities_are_those_of_the_logits_and_first_is_the_first_view() -> None:
    made = some(["x", "y", "z"])
    exponents = np.exp(made.logits.astype(float))
    np.testing.assert_allclose(made.proba, exponents / exponents.sum(axis=2, keepdims=True), rtol=1e-12)
    assert made.proba.dtype == np.float64
    assert (made.first == made.proba[0]).all()
    large = replace(made, logits=made.logits + np.float32(1e4))
    assert np.isfinite(large.proba).all()


def test_a_missing_id_is_named() -> None:
    with pytest.raises(DataError, match="1 ids have no prediction, the first is 'z'"):
        some(["x"]).take(np.array(["x", "z"]))


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(DataError, match="more than one prediction"):
        join([some(["x"]), some(["x"])], 2, ["x"], NAMES)


def test_a_prediction_that_is_not_a_number_names_its_row() -> None:
    logits = np.zeros((1, 2, 3), np.float32)
    logits[0, 1, 2] = np.nan
    with pytest.raises(DataError, match="id 'y' is not finite"):
        Predictions(np.array(["x", "y"]), ("a", "b", "c"), ("identity",), logits)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 half"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.npz cannot be read"):
        load_predictions(path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(
        path, ids=np.array([{"a": 1}], dtype=object), classes=["a"], views=["identity"], logits=np.zeros((1, 1, 1))
    )
    with pytest.raises(DataError, match="cannot be read"):
        load_predictions(path)
