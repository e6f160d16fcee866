"""Pictures beside a run: the learning curves of its folds, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kit.base.arrays import FloatArray, IntArray
from kit.config import RunConfig
from kit.runs.history import Epoch
from kit.show.plots import to_png
from kit.stages.train.schedule import epochs_since_best
from kit.stages.train.watch import greater_is_better

# Beyond so many classes numbers in the cells, and then names beside them, would run into each other.
NUMBERS, NAMES = 25, 60


class Curve(NamedTuple):
    """One fold's history: position on the axis of epochs, stage, and columns of the same length."""

    x: IntArray
    stage: IntArray
    columns: dict[str, FloatArray]


def curves_of(histories: Sequence[Sequence[Epoch]]) -> list[Curve]:
    """The histories of all folds, each stage beginning at the same place in all of them."""
    stages = sorted({epoch.stage for history in histories for epoch in history})
    lengths = [max(sum(epoch.stage == stage for epoch in history) for history in histories) for stage in stages]
    begin = dict(zip(stages, np.cumsum([0, *lengths[:-1]]), strict=True))
    curves = []
    for history in histories:
        x = np.array([begin[epoch.stage] + epoch.epoch + 1 for epoch in history])
        lines = [epoch.columns() for epoch in history]
        columns = {name: np.array([float(line[name]) for line in lines]) for name in lines[0] if name != "train"}
        curves.append(Curve(x, np.array([epoch.stage for epoch in history]), columns))
    return curves


def learning_curves(curves: Sequence[Curve], name: str, settings: RunConfig) -> bytes:
    """PNG of losses and accuracy by epoch, one colour a fold; dots are the epochs whose weights were kept."""

    def draw(figure: Any) -> None:
        from matplotlib import colormaps
        from matplotlib.lines import Line2D

        losses, accuracy = figure.subplots(1, 2)
        for colour, curve in zip(colormaps["viridis"](np.linspace(0, 0.85, len(curves))), curves, strict=True):
            marked = [place for number in np.unique(curve.stage) for place in kept(curve, int(number), settings)]
            _lines(losses, curve, "loss", color=colour, linestyle=":", linewidth=1.2)
            _lines(losses, curve, "valid_nll", color=colour, linewidth=1.4)
            _lines(accuracy, curve, "valid_accuracy", color=colour, linewidth=1.4)
            for axes, column in ((losses, "valid_nll"), (accuracy, "valid_accuracy")):
                axes.plot(curve.x[marked], curve.columns[column][marked], "o", color=colour, markersize=4)
        handles = [Line2D([], [], color="#444444", linestyle=style) for style in (":", "-")]
        losses.legend(handles, ["training, as it was augmented", "held-out rows"], fontsize=8, frameon=False)
        for axes, title in ((losses, "loss"), (accuracy, "accuracy on held-out rows")):
            _finish(axes, curves, title, settings)
        figure.suptitle(f"{name}: {len(curves)} fold{'' if len(curves) == 1 else 's'}", fontsize=11)

    return to_png(draw, 9.0, 3.6)


def _lines(axes: Any, curve: Curve, column: str, **style: Any) -> None:
    """One line a stage: between stages the weights may jump back to the best."""
    for number in np.unique(curve.stage):
        here = curve.stage == number
        marker = "." if here.sum() == 1 else None
        axes.plot(curve.x[here], curve.columns[column][here], marker=marker, **style)


def kept(curve: Curve, number: int, settings: RunConfig) -> list[int]:
    """The place of the epoch whose weights stage ``number`` ended with."""
    places = np.flatnonzero(curve.stage == number)
    stopping = settings.stages[number].early_stopping
    if stopping is None:
        return [int(places[-1])]
    values = curve.columns[f"inner_{stopping.metric}"][places].tolist()
    return [int(places[-1 - epochs_since_best(values, greater_is_better(stopping.metric), stopping.min_delta)])]


def _finish(axes: Any, curves: Sequence[Curve], title: str, settings: RunConfig) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    for number in range(1, len(settings.stages)):
        begins = [int(curve.x[curve.stage == number][0]) for curve in curves if (curve.stage == number).any()]
        if begins:
            axes.axvline(begins[0] - 0.5, color="#888888", linewidth=0.8, linestyle="--")
            axes.annotate(
                settings.stages[number].train,
                (begins[0] - 0.4, 0.02), xycoords=("data", "axes fraction"), fontsize=7, color="#666666",
            )  # fmt: skip


def confusion_matrix(counts: npt.NDArray[Any], classes: Sequence[str], name: str) -> bytes:
    """PNG of a run's ``counts`` (C, C) of rows by true and predicted class: shares of each as colours."""
    counts = np.asarray(counts)
    n, total = len(classes), int(counts.sum())
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Any) -> None:
        from matplotlib.colors import PowerNorm

        axes = figure.add_subplot()
        # Roots: of a good run the mistakes are shares of a few in a hundred, and they are what is looked for.
        picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
        if n <= NUMBERS:
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.35 else ("#222222" if count else "#bbbbbb")
                axes.text(column, row, f"{int(count)}", ha="center", va="center", fontsize=8, color=colour)
        if n <= NAMES:
            size = 8 if n <= NUMBERS else 6
            recalls = [f"{label}  {share:.0%}" for label, share in zip(classes, shares.diagonal(), strict=True)]
            axes.set_xticks(range(n), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
            axes.set_yticks(range(n), recalls, fontsize=size)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted", fontsize=9)
        axes.set_ylabel("true, with the share found", fontsize=9)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(
            picture, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1], format="{x:.0%}"
        )
        bar.set_label("share of the true class", fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
        right = counts.trace() / max(total, 1)
        axes.set_title(f"{name}: {right:.2%} of {total:,} right, out of fold", fontsize=11)

    side = min(2.6 + 0.5 * n, 11.0)
    return to_png(draw, side + 1.6, side)
