"""The strokes of a figure as SVG: sizes are px of a figure 340 wide, looks are classes of ``style.css``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from kit.base.text import plain

LETTER = 6.0  # px that a letter takes on average; text cannot be measured where no browser is


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


def ticks(low: float, high: float) -> list[float]:
    """Round values within ``low .. high``, about five of them: steps of 1, 2, 2.5 or 5 times a power of ten.

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def written(value: float) -> str:
    """A tick as people write it, without trailing zeros and with a proper minus."""
    return f"{value:.6g}".replace("-", "−")


def cut(words: str, room: float) -> str:
    """Words shortened to about ``room`` px."""
    most = max(int(room / LETTER), 2)
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def text(
    x: float,
    y: float,
    words: str,
    kind: str = "",
    anchor: str = "start",
    *,
    room: float = 0,
    turned: bool = False,
    after: tuple[str, str] = ("", ""),
) -> str:
    """Words at a place; ``anchor`` is start, middle or end, ``after`` more words and their kind.

    Where they are cut to ``room`` px, a pointer over them says all; ``turned`` ones read upwards.
    """
    words = plain(words)
    shown = cut(words, room) if room else words
    hidden = words if shown != words else ""
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if turned else ""
    start = f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}"{turn}>{_title(hidden)}'
    more = f'<tspan dx="7" class="{after[1]}">{escape(plain(after[0]))}</tspan>' if after[0] else ""
    return f"{start}{escape(shown)}{more}</text>"


def _title(words: str) -> str:
    return f"<title>{escape(plain(words))}</title>" if words else ""


def line(points: Sequence[tuple[float, float]], kind: str, title: str = "") -> str:
    """A line through points, with what a pointer over it says."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" class="{kind}">{_title(title)}</polyline>'


def dot(x: float, y: float, kind: str, title: str = "", radius: float = 3.5) -> str:
    """A point."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{kind}">{_title(title)}</circle>'


def box(x: float, y: float, size: tuple[float, float], kind: str, *, opacity: float = 1.0, title: str = "") -> str:
    """A filled rectangle of ``size`` (width, height)."""
    place = f'x="{x:g}" y="{y:g}" width="{size[0]:g}" height="{size[1]:g}"'
    return f'<rect {place} class="{kind}" fill-opacity="{opacity:g}">{_title(title)}</rect>'


def grid(x: Scale, y: Scale, *, both: bool = False) -> list[str]:
    """Lines at the ticks of ``y`` with their numbers; ``both`` writes numbers below ``x`` as well."""
    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(line([(x.start, y(tick)), (x.end, y(tick))], "grid"))
        parts.append(text(x.start - 6, y(tick) + 3.5, written(tick), "muted", "end"))
    if both:
        parts += [text(x(tick), y.start + 14, written(tick), "muted", "middle") for tick in ticks(x.low, x.high)]
    return parts


def square(low: float, high: float, about: tuple[str, str], side: float) -> tuple[Scale, Scale, list[str]]:
    """Equal axes ``low .. high`` in a square with its diagonal; ``about`` says what is to the right and upwards."""
    x, y = Scale(low, high, 44, side - 16), Scale(low, high, side - 34, 26)
    parts = [*grid(x, y, both=True), line([(x.start, y.start), (x.end, y.end)], "rule")]
    return x, y, [*parts, text(x.end, side - 4, about[0], "muted", "end"), text(x.start, 11, about[1], "muted")]
