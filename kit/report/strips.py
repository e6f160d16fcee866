"""Rows of dots with intervals on one common axis, drawn by the style sheet: text keeps its size on every screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.report.svg import plain, ticks


@dataclass(frozen=True)
class Dot:
    """One row: a name, a value with its interval if there is one, what to write behind it, and how it looks."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    kind: str = ""


def strip(dots: Sequence[Dot], *, zero: bool = False, digits: int = 4) -> dict[str, Any]:
    """The rows with their places in per cent of a common axis, and the axis; ``zero`` puts 0 on it."""
    ends = [end for dot in dots for end in (dot.value, dot.low, dot.high) if end is not None]
    low, high = min(ends + [0.0] * zero), max(ends + [0.0] * zero)
    margin = 0.06 * ((high - low) or 1.0)
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    rows = [
        {
            "name": dot.name,
            "at": place(dot.value),
            "from": place(dot.low) if dot.low is not None else None,
            "width": round(place(dot.high) - place(dot.low), 2) if dot.low is not None and dot.high is not None else 0,
            "value": f"{dot.value:.{digits}f}".replace("-", "−"),
            "interval": f"{dot.low:.{digits}f} – {dot.high:.{digits}f}".replace("-", "−")
            if dot.low is not None and dot.high is not None
            else "",
            "note": dot.note,
            "kind": dot.kind,
        }
        for dot in dots
    ]
    axis = [{"at": place(tick), "text": plain(tick).replace("-", "−")} for tick in ticks(low, high)]
    return {"rows": rows, "axis": axis, "zero": place(0.0) if zero else None}
