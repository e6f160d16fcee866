"""Twins of training images in the test: found however they are turned, not where there are none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from kit.judge.shift.pictures import twins


def pictures(seed: int, n: int) -> np.ndarray:
    """Smooth random pictures, no two alike."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal((n, 32, 32, 3)), (0, 3, 3, 0))
    return np.clip(128 + 400 * noise, 0, 255).astype(np.uint8)


def compressed(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=60)
    return np.asarray(Image.open(buffer))


CHANGES = {
    "as it is": lambda x: x,
    "turned": lambda x: np.rot90(x),
    "flipped": lambda x: x[::-1],
    "turned and flipped": lambda x: np.rot90(x, 3)[:, ::-1],
    "brighter": lambda x: np.clip(x * 1.1 + 8, 0, 255).astype(np.uint8),
    "compressed": compressed,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_with_its_original(name: str) -> None:
    train, test = pictures(0, 40), pictures(1, 30)
    test[7] = CHANGES[name](train[23])
    (found,) = twins(train, test)
    assert found[:2] == (7, 23)
    assert found[2] > 0.97


@pytest.mark.parametrize("seed", range(5))
def test_pictures_of_their_own_have_no_twins(seed: int) -> None:
    assert twins(pictures(seed, 60), pictures(100 + seed, 60)) == []


def test_flat_pictures_and_empty_sets_are_no_twins() -> None:
    flat = np.full((3, 32, 32, 3), 90, np.uint8)
    assert twins(flat, flat) == []
    assert twins(flat[:0], flat) == [] and twins(flat, flat[:0]) == []


def test_pictures_that_are_not_square_are_compared_without_quarter_turns() -> None:
    train, test = pictures(2, 20)[:, :24], pictures(3, 20)[:, :24]
    test[4] = train[9][::-1, ::-1]
    ((row, other, _),) = twins(train, test)
    assert (row, other) == (4, 9)


def test_rows_that_are_not_asked_for_are_not_compared() -> None:
    train, test = pictures(6, 30), pictures(7, 30)
    test[[3, 20, 25]] = train[[8, 15, 9]]
    known, asked = np.arange(9, 30), np.arange(0, 25)
    assert [pair[:2] for pair in twins(train, test, known, asked)] == [(20, 15)]


@pytest.mark.parametrize("images", [7, 1 / 16])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, images: float) -> None:
    train, test = pictures(4, 50), pictures(5, 50)
    test[[3, 30]] = train[[40, 8]]
    whole = twins(train, test)
    monkeypatch.setattr("kit.judge.shift.pictures.BLOCK_BYTES", int(images * train[0].nbytes))
    assert [pair[:2] for pair in twins(train, test)] == [pair[:2] for pair in whole] == [(3, 40), (30, 8)]
