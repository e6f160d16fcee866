"""Pictures: matplotlib figures turned into PNG bytes, drawn alike everywhere.

Matplotlib is imported inside the functions: most commands draw nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def to_png(draw: Callable[[Any], None], width: float = 7.0, height: float = 4.0, **said: str) -> bytes:
    """PNG of the empty ``Figure`` that ``draw`` fills, in inches of 120 dots; the same figure gives the same bytes.

    ``said`` are texts by name that the file holds beside its pixels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    buffer = io.BytesIO()
    # Without the software entry the bytes do not depend on the version of matplotlib that is named in it.
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None, **said})
    return buffer.getvalue()


def balance(values: npt.NDArray[Any], rows: Sequence[str], columns: Sequence[str], title: str) -> bytes:
    """PNG of a table of counts (R, K), each cell coloured by how far it is from the mean of its column."""

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        mean = np.maximum(values.mean(axis=0, keepdims=True), 1e-9)
        picture = axes.imshow(values / mean - 1, cmap="RdBu_r", vmin=-0.5, vmax=0.5, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), rows)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=9)
        axes.set_title(title, fontsize=11)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = figure.colorbar(picture, ax=axes, ticks=[-0.5, 0, 0.5], fraction=0.03)
        bar.ax.set_yticklabels(["half", "even", "half more"], fontsize=8)
        bar.outline.set_visible(False)

    return to_png(draw, 2.2 + 0.75 * len(columns), 1.5 + 0.38 * len(rows))
