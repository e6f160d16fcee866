"""Rows of dots with intervals on one common axis, drawn by the style sheet: text keeps its size on every screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.report.svg import plain, ticks


@dataclass(frozen=True)
class Dot:
    """One row: a name, a value with its interval or a second value, what to write behind the name, its looks."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    kind: str = ""
    mate: float | None = None


def strip(dots: Sequence[Dot], *, zero: bool = False, digits: int = 4) -> dict[str, Any]:
    """The rows with their places in per cent of a common axis, and the axis; ``zero`` puts 0 on it."""
    ends = [end for dot in dots for end in (dot.value, dot.low, dot.high, dot.mate) if end is not None]
    low, high = min(ends + [0.0] * zero), max(ends + [0.0] * zero)
    margin = 0.06 * ((high - low) or 1.0)
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def written(value: float) -> str:
        return f"{value:.{digits}f}".replace("-", "−")

    def row(dot: Dot) -> dict[str, Any]:
        ends = sorted(end for end in (dot.low, dot.high) if end is not None)
        if dot.mate is not None:
            ends = sorted((dot.value, dot.mate))
        interval = " – ".join(map(written, ends))
        return {
            "name": dot.name,
            "at": place(dot.value),
            "mate": None if dot.mate is None else place(dot.mate),
            "from": place(ends[0]) if ends else None,
            "width": round(place(ends[-1]) - place(ends[0]), 2) if ends else 0,
            "value": written(dot.value),
            "interval": interval if dot.mate is None else f"under stress {written(dot.mate)}",
            "note": dot.note,
            "kind": dot.kind,
        }

    rows = [row(dot) for dot in dots]
    axis = [{"at": place(tick), "text": plain(tick).replace("-", "−")} for tick in ticks(low, high)]
    return {"rows": rows, "axis": axis, "zero": place(0.0) if zero else None}
