"""Pictures of a forecast and of a test set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kit.base.arrays import ImageArray, IntArray
from kit.judge.shift.adversarial import Adversarial
from kit.show.plots import to_png

OURS, OTHER, GREY = "#1f5fa8", "#c8553d", "#8a8f98"
COLUMNS = 8


def unlike_picture(sorted_images: ImageArray, order: IntArray, captions: Sequence[str]) -> bytes:
    """PNG of the test images least like the training set, in the ``order`` (K,) of their rows to be shown.

    ``sorted_images`` (K, H, W, 3) uint8 are in the order of their rows, as a memory map likes to be read.
    """
    place = np.argsort(np.argsort(order))

    def draw(figure: Any) -> None:
        grid = figure.subplots(-(-len(order) // COLUMNS), COLUMNS, squeeze=False)
        for number, axes in enumerate(grid.flat):
            axes.set_axis_off()
            if number < len(order):
                axes.imshow(sorted_images[place[number]])
                axes.set_title(captions[number], fontsize=6)
        figure.suptitle("test images least like the training set, and how sure that is", fontsize=10)

    return to_png(draw, 1.15 * COLUMNS, 1.5 * -(-len(order) // COLUMNS) + 0.5)


def likeness_picture(found: Adversarial) -> bytes:
    """PNG: how both sets score as "test", the ROC curve, and what every statistic tells on its own."""
    train = found.train_likeness[~np.isnan(found.train_likeness)]
    test = found.test_likeness[~np.isnan(found.test_likeness)]

    def draw(figure: Any) -> None:
        left, middle, right = figure.subplots(1, 3)
        bins = np.linspace(0, 1, 26)
        for values, colour, name in ((train, OURS, "training"), (test, OTHER, "test")):
            left.hist(values, bins=bins, weights=np.full(len(values), 1 / len(values)), color=colour, alpha=0.6)
            left.plot([], [], color=colour, linewidth=6, alpha=0.6, label=name)
        left.legend(fontsize=8, frameon=False)
        left.set_title("looks like the test", fontsize=9, loc="left")
        left.set_ylabel("share of the images")
        limits = np.r_[np.inf, np.sort(np.concatenate([train, test]))[::-1]]
        wrong, found_share = (1 - np.searchsorted(np.sort(x), limits, side="left") / len(x) for x in (train, test))
        middle.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        middle.plot(wrong, found_share, color=OURS, linewidth=1.8)
        middle.set_aspect("equal")
        middle.set_title(f"ROC, AUC {found.auc:.3f} +- {found.error:.3f}", fontsize=9, loc="left")
        names = [name for name, _ in found.telling][::-1]
        values = np.array([auc for _, auc in found.telling][::-1]) - 0.5
        right.barh(range(len(names)), values, color=[OTHER if value > 0 else OURS for value in values])
        right.set_yticks(range(len(names)), names, fontsize=7)
        right.set_xlim(-0.5, 0.5)
        right.set_title("less / more in the test (AUC - .5)", fontsize=9, loc="left")
        for axes in (left, middle, right):
            _plain(axes)

    return to_png(draw, 10.5, 3.4)


def class_priors(classes: Sequence[str], train: Sequence[float], test: Sequence[float]) -> bytes:
    """PNG: the share of every class in the training set and, by EM, in the test."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(classes))
        axes.barh(places - 0.2, train, height=0.38, color=OURS, label="training set")
        axes.barh(places + 0.2, test, height=0.38, color=OTHER, label="test, estimated")
        axes.set_yticks(places, classes, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("share of the images")
        # Above the bars, which may be anywhere below.
        axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        axes.set_title("classes in training set and test", fontsize=10, loc="left")
        _plain(axes)

    return to_png(draw, 6.5, 1.4 + 0.42 * len(classes))


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=7)
