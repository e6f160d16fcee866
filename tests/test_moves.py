"""Which flips and turns keep a class: the answer for sets whose answer is known, and what it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import AugmentConfig
from kit.images.augment import arguments
from kit.images.moves import (
    IN_PLACE,
    MOVES,
    PARTS,
    RIDGE,
    Gain,
    _is_right,
    _kernels,
    allowed,
    in_common,
    judge,
    moves_said,
)
from kit.images.sources.generated import digits
from kit.images.sources.practice import make
from kit.runtime.views import VIEWS, apply


def arrows(n: int, seed: int = 0) -> tuple[Any, Any]:
    """Wedges on noise; the class is the side that they point to."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    images = rng.integers(0, 120, (n, 12, 12, 3))
    for row in range(n):
        top = rng.integers(0, 4)
        for line in range(6):
            images[row, top + line, 6 - line : 6 + line] += 120
        images[row] = np.rot90(images[row], labels[row])
    return images.astype(np.uint8), labels


@pytest.mark.stage
def test_cells_have_no_upper_side() -> None:
    made = make(n=800, size=32, seed=0)
    gains = judge(made.images, made.labels, 0)
    assert all(gain.points > 2 * gain.error for gain in gains.values())
    assert allowed(gains) == ({"op": "dihedral"}, ("identity", "flip-lr", "flip-ud", "rot180"))


@pytest.mark.stage
def test_digits_are_neither_flipped_nor_turned() -> None:
    made = digits(size=16)
    assert allowed(judge(made.images, made.labels, 0)) == ({}, ("identity",))


def test_pictures_that_are_shifted_at_random_have_nothing_in_common() -> None:
    images, rng = make(n=400, size=32, seed=0).images, np.random.default_rng(0)
    shifted = np.stack([np.roll(image, rng.integers(0, 32, 2), (0, 1)) for image in images])
    assert in_common(shifted) < 0.1 * IN_PLACE < IN_PLACE < in_common(images)
    assert in_common(255 - images) == pytest.approx(in_common(images), rel=1e-3)
    assert in_common(np.repeat(images[:1], 20, axis=0)) == pytest.approx(1) and in_common(0 * images) == 0


def test_what_is_told_apart_by_its_direction_is_not_turned() -> None:
    gains = judge(*arrows(600), 0)
    assert gains["up-down"].points < -10 and gains["quarter turns"].points < -10
    assert allowed(gains) == ({}, ("identity",))


def test_without_evidence_mirror_images_are_believed_alone() -> None:
    rng = np.random.default_rng(0)
    few = judge(rng.integers(0, 256, (10, 16, 16, 3), np.uint8), np.arange(10) % 2, 0)
    assert {gain.points for gain in few.values()} == {0.0}
    copies = judge(np.zeros((500, 16, 16, 3), np.uint8), np.arange(500) % 2, 0)  # of one image: nothing is known
    assert allowed(few) == allowed(copies) == ({"op": "flip"}, ("identity", "flip-lr"))


@pytest.mark.parametrize("view", ["flip-lr", "rot90"])
def test_a_set_that_is_moved_as_a_whole_has_the_same_answer(view: str) -> None:
    images, labels = arrows(200)
    before, after = judge(images, labels, 0), judge(apply(view, images), labels, 0)
    swapped = {"left-right": "up-down", "up-down": "left-right"} if view == "rot90" else {}
    for move, gain in before.items():
        # A single row may be decided by the last bit of a sum.
        assert abs(after[swapped.get(move, move)].points - gain.points) < 1


@pytest.mark.parametrize("move", MOVES)
def test_the_averaged_kernel_is_training_on_the_copies(move: str) -> None:
    images, labels = arrows(80)
    kernels, targets = _kernels(images), np.eye(4)[labels] - 1 / 4
    found = _is_right(sum(kernels[view] for view in MOVES[move]), labels, 4)
    scale = np.sqrt(images.astype(float).var(axis=0).sum())

    def kernel(one: Any, other: Any) -> Any:
        flat = [side.reshape(len(side), -1) / scale for side in (one.astype(float), other.astype(float))]
        return np.exp(-((flat[0][:, None] - flat[1][None]) ** 2).sum(axis=2))

    for part, seen in enumerate(np.array_split(np.arange(80), PARTS)):
        copies = np.concatenate([apply(view, images[seen]) for view in MOVES[move]])
        system = kernel(copies, copies) + RIDGE * np.eye(len(copies))
        weights = np.linalg.solve(system, np.tile(targets[seen], (len(MOVES[move]), 1)))
        unseen = np.delete(np.arange(80), seen)
        expected = (kernel(images[unseen], copies) @ weights).argmax(axis=1) == labels[unseen]
        assert (expected != (found[part, unseen] == 100)).sum() <= 1
        assert np.isnan(found[part, seen]).all()


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 3)), min_size=3, max_size=3))
def test_whatever_is_gained_the_answer_can_be_configured(numbers: list[tuple[float, float]]) -> None:
    gains = {move: Gain(*pair) for move, pair in zip(MOVES, numbers, strict=True)}
    answer = allowed(gains)
    assert answer.views[0] == "identity" and set(answer.views) <= set(VIEWS)
    if answer.augment:
        arguments(AugmentConfig.model_validate(answer.augment))
    lost = {move for move, gain in gains.items() if gain.points < -gain.error}
    moved = {"flip-lr": "left-right", "flip-ud": "up-down", "rot90": "quarter turns"}
    assert not {moved[view] for view in answer.views if view in moved} & lost
    assert moves_said(gains)
