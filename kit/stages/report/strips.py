"""Rows of dots with intervals on one common axis, drawn by the style sheet: text keeps its size on every screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.stages.report.svg import plain, ticks


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


@dataclass(frozen=True)
class Bar:
    """A `Dot` with its place, that of its mate and of its interval, all in per cent of the axis, and in words."""

    dot: Dot
    at: float
    mate: float | None
    start: float | None
    width: float
    value: str
    interval: str


@dataclass(frozen=True)
class Strip:
    """Bars, the places and texts of the ticks of their axis, and the place of 0 where it is marked."""

    rows: list[Bar]
    axis: list[tuple[float, str]]
    zero: float | None


def strip(dots: Sequence[Dot], *, zero: bool = False) -> Strip:
    """The rows with their places in per cent of a common axis, and the axis; ``zero`` puts 0 on it."""
    ends = [end for dot in dots for end in (dot.value, dot.low, dot.high, dot.mate) if end is not None]
    low, high = min(ends + [0.0] * zero), max(ends + [0.0] * zero)
    margin = 0.06 * ((high - low) or 1.0)
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def written(value: float) -> str:
        return f"{value:.4f}".replace("-", "−")

    def bar(dot: Dot) -> Bar:
        ends = sorted(end for end in (dot.low, dot.high) if end is not None)
        if dot.mate is not None:
            ends = sorted((dot.value, dot.mate))
        return Bar(
            dot,
            at=place(dot.value),
            mate=None if dot.mate is None else place(dot.mate),
            start=place(ends[0]) if ends else None,
            width=round(place(ends[-1]) - place(ends[0]), 2) if ends else 0,
            value=written(dot.value),
            interval=" – ".join(map(written, ends)) if dot.mate is None else f"under stress {written(dot.mate)}",
        )

    axis = [(place(tick), plain(tick).replace("-", "−")) for tick in ticks(low, high)]
    return Strip(list(map(bar, dots)), axis, place(0.0) if zero else None)
