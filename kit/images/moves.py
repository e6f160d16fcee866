"""Which flips and turns keep the class of a picture: asked of the data, in seconds.

A classifier that is trained with moved copies too is compared with one without, on rows that neither saw: kernel ridge
regression on thumbnails: training it on all copies of every row is the same as averaging its kernel over the moves
(Haasdonk and Burkhardt 2007), so that the copies cost no larger system of equations, and no chance is in the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.arrays import ImageArray, IntArray
from kit.runtime import decode, views
from kit.store.data import Index, load_images
from kit.store.layout import Layout

ROWS = 3000  # 2 seconds on one core
# Each part trains a classifier, and all others judge it. Few rows are where copies help or harm most: with two halves
# the classifier of scikit-learn's digits is right so often that mirrored digits lose .1 points, with eight parts .4.
PARTS = 8
SIDE = 12  # pixels of a thumbnail
# Of the kernel, as a share of the images' variance, and the ridge beside its diagonal of 1.
WIDTH, RIDGE = 1.0, 0.3
# By move the views of `kit.runtime.views` that it makes of a picture: closed, so that the averaged kernel is one.
MOVES = {
    "left-right": ("identity", "flip-lr"),
    "up-down": ("identity", "flip-ud"),
    "quarter turns": ("identity", "rot90", "rot180", "rot270"),
}
CLEAR = 2.0  # standard errors
IN_PLACE = 0.1  # of `in_common`: CIFAR-10 has .02, and digits, clothes and single cells .3 to .5


class Gain(NamedTuple):
    """Points of accuracy that training on moved copies gains, and the standard error of the paired difference."""

    points: float
    error: float

    def __str__(self) -> str:
        return f"{self.points:+.1f} (error {self.error:.1f})"


Gains = Mapping[str, Gain]


class Allowed(NamedTuple):
    """An augmentation as in ``augment`` of a run, empty where nothing may be moved, and the views that go with it."""

    augment: dict[str, str]
    views: tuple[str, ...]


# By the moves that are kept.
ALLOWED: dict[frozenset[str], Allowed] = {
    frozenset(): Allowed({}, ("identity",)),
    frozenset({"left-right"}): Allowed({"op": "flip"}, MOVES["left-right"]),
    frozenset({"up-down"}): Allowed({"op": "flip", "mode": "vertical"}, MOVES["up-down"]),
    frozenset({"left-right", "up-down"}): Allowed(
        {"op": "flip", "mode": "both"}, ("identity", "flip-lr", "flip-ud", "rot180")
    ),
    frozenset({"quarter turns"}): Allowed({"op": "quarter-turn"}, MOVES["quarter turns"]),
    frozenset(MOVES): Allowed({"op": "dihedral"}, ("identity", "flip-lr", "flip-ud", "rot180")),
}


def judge(images: Sequence[ImageArray] | ImageArray, labels: IntArray, seed: int) -> dict[str, Gain]:
    """What each of `MOVES` gains on images (N, S, S, 3) with labels (N,), in points of accuracy.

    At most `ROWS` distinct images are used, drawn and dealt out by ``seed``: copies of one image in several parts would
    praise every move that was planted with them. Of fewer than two images a part nothing is known: no gain, and an
    error without bounds.
    """
    if len(images) < 2 * PARTS:
        return dict.fromkeys(MOVES, Gain(0.0, float("inf")))
    small = np.stack([decode.resize(image, SIDE, "stretch") for image in images])
    _, distinct = np.unique(small.reshape(len(small), -1), axis=0, return_index=True)
    rows = np.random.default_rng(seed).permutation(np.sort(distinct))[:ROWS]
    if len(rows) < 2 * PARTS:
        return dict.fromkeys(MOVES, Gain(0.0, float("inf")))
    kernels = _kernels(small[rows])
    classes, numbers = np.unique(labels[rows], return_inverse=True)
    plain = _is_right(kernels["identity"], numbers, len(classes))
    gains = {}
    for move, copies in MOVES.items():
        gained = _is_right(sum(kernels[copy] for copy in copies), numbers, len(classes)) - plain
        by_row, by_part = np.nanmean(gained, axis=0), np.nanmean(gained, axis=1)
        # Over rows and over trainings; and no difference is known better than to one row.
        errors = by_row.std() / len(rows) ** 0.5, by_part.std(ddof=1) / PARTS**0.5, 100.0 / len(rows)
        gains[move] = Gain(float(by_part.mean()), float(max(errors)))
    return gains


def judge_cleaned(layout: Layout, index: Index) -> dict[str, Gain]:
    """`judge` of a sample of the images that cleaning kept."""
    rows = np.sort(np.random.default_rng(0).permutation(len(index.labels))[:ROWS])
    images = load_images(layout)
    return judge([decode.resize(images[row], SIDE, "stretch") for row in rows], index.labels[rows], 0)


def in_common(images: Sequence[ImageArray] | ImageArray) -> float:
    """The share of the variance of images (N, S, S, 3) that is their mean's: little where things lie anywhere in them.

    A shift by two pixels of clothes that all lie in the same place cost a small network .8 points after seven epochs.
    """
    grey = np.stack([decode.resize(image, SIDE, "stretch") for image in images]).mean(axis=3)
    return float(grey.mean(axis=0).var() / max(grey.var(), 1e-9))


def allowed(gains: Gains) -> Allowed:
    """What may be moved: all that gains clearly, and left-right unless it loses more than its error.

    Most things in the world have a mirror image of the same name and stand on their feet, so that without evidence
    the first is believed alone.
    """
    kept = {move for move, gain in gains.items() if gain.points > CLEAR * gain.error}
    if gains["left-right"].points >= -gains["left-right"].error:
        kept.add("left-right")
    if "quarter turns" in kept:  # with a flip in one direction they are all eight
        mirrored = "left-right" in kept and gains["up-down"].points >= -gains["up-down"].error
        kept = set(MOVES) if mirrored else {"quarter turns"}
    return ALLOWED[frozenset(kept)]


def moves_said(gains: Gains) -> str:
    """What `allowed` makes of the gains, in a sentence."""
    keeps = {
        "flip": "Mirror images keep their class, as far as the images tell.",
        "quarter-turn": "Turned images keep their class, but their mirror images do not.",
        "dihedral": "Flipped and turned images keep their class.",
    }
    move = allowed(gains).augment
    if "mode" in move:
        return f"Images that are flipped ({move['mode']}) keep their class."
    return keeps.get(move.get("op", ""), "No flip and no turn keeps the class, so images are not moved.")


def _kernels(images: ImageArray) -> dict[str, npt.NDArray[np.float32]]:
    """Gaussian kernels (N, N) between the images and their copies under every view of `MOVES`."""
    levels = images.astype(np.float32)
    scale = np.sqrt(max(float(levels.var(axis=0).sum()), 1.0) / WIDTH)
    centred = (levels - levels.mean()) / scale
    plain = centred.reshape(len(images), -1)
    squares = (plain**2).sum(axis=1)
    kernels = {}
    for view in dict.fromkeys(view for copies in MOVES.values() for view in copies):
        moved = views.apply(view, centred).reshape(len(images), -1)
        kernels[view] = np.exp(np.minimum(2 * plain @ moved.T - squares[:, None] - squares, 0))
    return kernels


def _is_right(kernel: Any, labels: IntArray, classes: int) -> npt.NDArray[np.float64]:
    """(PARTS, N): 100.0 where the classifier trained on a part gets a row right, else 0.0; NaN for its own rows."""
    right, targets = np.full((PARTS, len(labels)), np.nan), np.eye(classes, dtype=np.float32)[labels] - 1 / classes
    for part, seen in enumerate(np.array_split(np.arange(len(labels)), PARTS)):
        unseen = np.delete(np.arange(len(labels)), seen)
        system = kernel[np.ix_(seen, seen)] + RIDGE * np.eye(len(seen), dtype=np.float32)
        found = kernel[np.ix_(unseen, seen)] @ np.linalg.solve(system, targets[seen])
        right[part, unseen] = 100.0 * (found.argmax(axis=1) == labels[unseen])
    return right
