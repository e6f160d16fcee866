"""Pictures: matplotlib figures turned into PNG bytes, drawn alike everywhere.

Matplotlib is imported inside the functions: most commands draw nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def to_png(draw: Callable[[Any], None], width: float = 7.0, height: float = 4.0) -> bytes:
    """PNG of the figure that ``draw`` fills; the same figure gives the same bytes.

    Parameters
    ----------
    draw : callable
        Called with an empty matplotlib ``Figure``.
    width, height : float
        Inches, at 120 dots each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    buffer = io.BytesIO()
    # Without the software entry the bytes do not depend on the version of matplotlib that is named in it.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def heatmap(
    values: npt.NDArray[Any], rows: Sequence[str], columns: Sequence[str], title: str, *, shade_columns: bool = True
) -> bytes:
    """PNG of a table of numbers, shaded column by column (or row by row) by their share of the largest."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axis = 0 if shade_columns else 1
        share = values / np.maximum(values.max(axis=axis, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)

    return to_png(draw, 1.5 + 0.75 * len(columns), 1.4 + 0.35 * len(rows))
