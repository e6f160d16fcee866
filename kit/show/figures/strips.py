"""Rows of dots with intervals on one common axis, and probabilities against how often they are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kit.judge.blend.tables import Reliability
from kit.show.figures import WIDTH, Panel, svg
from kit.store.candidate import StoredBlend

ROW, TRACK = 36.0, 24.0  # px of a row, and where in it the dots lie, below the words; ``.track`` has them as dashes


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


def strip(title: str, dots: Sequence[Dot], *, zero: bool = False, mate: str = "under stress", note: str = "") -> Panel:
    """The dots, a row each; ``zero`` puts 0 on the axis, ``mate`` says what the second values are."""
    ends = [end for dot in dots for end in (dot.value, dot.low, dot.high, dot.mate) if end is not None]
    low, high = min(ends + [0.0] * zero), max(ends + [0.0] * zero)
    margin = 0.06 * ((high - low) or 1.0)
    x, bottom = svg.Scale(low - margin, high + margin, 0, WIDTH), ROW * len(dots) + 4
    marks = svg.ticks(x.low, x.high)
    parts = [svg.line([(x(tick), 0), (x(tick), bottom)], "track") for tick in marks]
    parts += [svg.line([(x(0.0), 0), (x(0.0), bottom)], "track zero")] if zero else []
    for number, dot in enumerate(dots):
        parts += _row(x, number * ROW, dot, mate)
    for tick in marks:
        side = "start" if x(tick) < 12 else "end" if x(tick) > WIDTH - 12 else "middle"
        parts.append(svg.text(x(tick), bottom + 12, svg.written(tick), "muted", side))
    words = "; ".join(f"{dot.name} {_figure(dot.value)} {_beside(dot, mate)}".rstrip() for dot in dots)
    return Panel(title, note, f"{title}: {words}", parts, bottom + 18)


def _row(x: svg.Scale, top: float, dot: Dot, mate: str) -> list[str]:
    value, beside, y = _figure(dot.value), _beside(dot, mate), top + TRACK
    kind = dot.kind if dot.kind in ("accent", "warn") else ""
    room = WIDTH - svg.LETTER * (len(value) + len(beside) + len(dot.note) + 5)
    parts = [
        svg.text(0, top + 13, dot.name, room=room, after=(dot.note, "muted")),
        svg.text(WIDTH, top + 13, beside, "muted", "end", after=(value, kind or "ink")),
    ]
    pair = (dot.low, dot.high) if dot.mate is None else (dot.value, dot.mate)
    if ends := [end for end in pair if end is not None]:
        parts.append(svg.line([(x(min(ends)), y), (x(max(ends)), y)], f"whisker {dot.kind}"))
    parts += [svg.dot(x(dot.mate), y, "warn", mate, 4.5)] if dot.mate is not None else []
    return [*parts, svg.dot(x(dot.value), y, dot.kind, dot.name, 4.5)]


def _figure(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


def _beside(dot: Dot, mate: str) -> str:
    if dot.mate is not None:
        return f"{mate} {_figure(dot.mate)}"
    return "" if dot.low is None or dot.high is None else f"{_figure(dot.low)} – {_figure(dot.high)}"


def worth(blend: StoredBlend) -> list[Panel]:
    """What each member of a blend adds to it, and each view where there are several."""
    sets = [("network", blend.members, blend.weights, blend.member_worth)]
    if sum(weight > 0 for weight in blend.views) > 1:
        sets.append(("view", blend.view_names, blend.views, blend.view_worth))
    note = "increase of the out-of-fold log loss without it, and one standard error"
    panels = []
    for what, names, weights, gains in sets:
        dots = [
            Dot(name, gain, gain - error, gain + error, f"weight {w:.2f}", "accent" if gain > error else "muted")
            for name, w, (gain, error) in zip(names, weights, gains, strict=False)
        ]
        panels.append(strip(f"Contribution of each {what}", dots, zero=True, note=note))
    return panels


SIDE = 300.0


def reliability(found: Mapping[str, Reliability]) -> list[Panel]:
    """Accuracy over confidence in bins of equal mass, by name, usually of the plain mean and of the blend."""
    lowest = min(float(min(one.confidence.min(), one.accuracy.min())) for one in found.values())
    low = max(0.0, np.floor(min(lowest, 0.9) * 20) / 20 - 0.05)
    panels = []
    for name, one in found.items():
        x, y, parts = svg.square(low, 1.0, ("confidence, one tick per bin", "accuracy"), SIDE)
        points = sorted(zip(one.confidence.tolist(), one.accuracy.tolist(), one.count.tolist(), strict=True))
        for sure, right, n in points:
            parts.append(svg.line([(x(sure), y(sure)), (x(sure), y(right))], "gap"))
            parts.append(svg.dot(x(sure), y(right), "accent", f"confidence {sure:.3f}, accuracy {right:.3f}, n={n:g}"))
            # A tick a group of equal mass: close together where many images lie.
            parts.append(svg.line([(x(sure), SIDE + 2), (x(sure), SIDE + 14)], "mass"))
        error = f"calibration error {one.ece:.3f}"
        about = f"Reliability of the {name}: expected {error} over {len(points)} bins of images"
        panels.append(Panel(name, error, about, parts, SIDE + 16, SIDE))
    return panels
