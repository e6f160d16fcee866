"""Pictures of a blend, as matplotlib figures; matplotlib is loaded when the first is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kit.judge.blend.tables import Reliability
from kit.judge.metrics import Array

if TYPE_CHECKING:
    from kit.judge.blend.result import Blend


def reliability_picture(before: Reliability, after: Reliability) -> Any:
    """Return a figure of accuracy over confidence, usually of the plain mean and of ``Blend.oof``."""
    figure, axes = _figure(5.0, 4.5)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="calibrated")
    for name, found, marker in (("before", before, "o"), ("after", after, "s")):
        label = f"{name}: ECE {found.ece:.3f}"
        axes.plot(found.confidence, found.accuracy, marker=marker, markersize=4, label=label)
    low = min(0.95, *before.accuracy, *after.accuracy, *before.confidence, *after.confidence)
    axes.set(xlabel="confidence of the top class", ylabel="accuracy", xlim=(low, 1.01), ylim=(low, 1.01))
    axes.legend(frameon=False)
    return figure


def worth_picture(blend: Blend) -> Any:
    """Return a figure of what each member, and each view if there are several, is worth, with standard errors."""
    names, worth = list(blend.members), list(blend.member_worth)
    if len(blend.views) > 1:
        names += [f"view {name}" for name in blend.view_names]
        worth += list(blend.view_worth)
    figure, axes = _figure(6.0, 1.0 + 0.3 * len(names))
    gains, errors = np.array(worth).T
    colours = ["C0" if gain > error else "0.7" for gain, error in worth]
    axes.barh(np.arange(len(names)), gains, xerr=errors, color=colours, error_kw={"linewidth": 1})
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("log loss out of fold without it, minus with it (nats)")
    return figure


def correlation_picture(table: Array, names: tuple[str, ...]) -> Any:
    """Return a figure of an (M, M) table of correlations or disagreements, with its numbers."""
    figure, axes = _figure(1.5 + 0.55 * len(names), 1.2 + 0.5 * len(names))
    axes.imshow(table, cmap="viridis", vmin=min(0.0, float(table.min())), vmax=1.0)
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=60, ha="right")
    axes.set_yticks(ticks, names)
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if value < 0.6 else "k")
    return figure


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure that no window manager knows of, so that nothing has to be closed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
