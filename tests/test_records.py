"""Predictions on disk and in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.errors import DataError
from kit.records import Predictions, concatenate, load_predictions


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


def test_folds_are_joined_in_the_order_of_the_index() -> None:
    first, second = some(["b", "d"], 1), some(["a", "c"], 2)
    joined = concatenate([first, second], np.array(["a", "b", "c", "d"]))
    assert (joined.logits[:, 1] == first.logits[:, 0]).all()
    assert (joined.logits[:, 2] == second.logits[:, 1]).all()


def test_a_missing_id_is_named() -> None:
    with pytest.raises(DataError, match="1 ids have no prediction, the first is 'z'"):
        some(["x"]).take(np.array(["x", "z"]))


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(DataError, match="more than one prediction"):
        concatenate([some(["x"]), some(["x"])], np.array(["x"]))


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
