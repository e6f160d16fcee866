"""Small pictures as SVG: text in the page's own type, colours from its style sheet, an alternative in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup


@dataclass(frozen=True)
class Scale:
    """A linear map of the values ``low .. high`` to the places ``start .. end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 2)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within ``low .. high``, about ``about`` of them: steps of 1, 2, 2.5 or 5 times a power of ten.

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(about - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def plain(value: float) -> str:
    """A tick as people write it, without trailing zeros."""
    return f"{value:.6g}"


def svg(width: float, height: float, alternative: str, parts: Iterable[str]) -> Markup:
    """A picture of ``parts`` that says ``alternative`` to those who cannot see it."""
    body = "".join(parts)
    label = escape(alternative, quote=True)
    return Markup(  # every part was escaped when it was made
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}" '
        f'style="max-width:{width * 1.25:g}px">{body}</svg>'
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Words at a place; ``anchor`` is start, middle or end."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def line(points: Sequence[tuple[float, float]], kind: str, title: str = "") -> str:
    """A line through points, with what a pointer over it says."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    about = f"<title>{escape(title)}</title>" if title else ""
    return f'<polyline points="{path}" class="{kind}">{about}</polyline>'


def dot(x: float, y: float, kind: str, title: str = "", radius: float = 3.5) -> str:
    """A point."""
    about = f"<title>{escape(title)}</title>" if title else ""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{kind}">{about}</circle>'


def grid(x: Scale, y: Scale, *, both: bool = False) -> list[str]:
    """Lines at the ticks of ``y`` with their numbers; ``both`` writes them below ``x``, whose ticks are the same."""
    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(line([(x.start, y(tick)), (x.end, y(tick))], "grid"))
        parts.append(text(x.start - 6, y(tick) + 3.5, plain(tick), "muted", "end"))
        if both:
            parts.append(text(x(tick), y.start + 14, plain(tick), "muted", "middle"))
    return parts


def spread(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Places moved apart until neighbours are ``least`` away from each other and within ``low .. high``.

    The order is kept; where there is no room they are spread evenly.
    """
    order = sorted(range(len(places)), key=lambda n: places[n])
    if len(order) > 1 and (high - low) < least * (len(order) - 1):
        least = (high - low) / (len(order) - 1)
    moved = [0.0] * len(places)
    previous = low - least
    for number in order:
        previous = moved[number] = max(places[number], previous + least)
    following = high + least
    for number in reversed(order):
        following = moved[number] = min(moved[number], following - least)
    return moved
