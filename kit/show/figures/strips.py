"""Rows of dots with intervals on one common axis, and how the test images differ from the training images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.judge.shift.adversarial import Adversarial
from kit.show.figures import svg
from kit.show.figures.panel import WIDTH, Panel
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
    ends = [end for end in (dot.low, dot.high, dot.mate) if end is not None]
    if ends:
        ends = [dot.value, dot.mate] if dot.mate is not None else ends
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
BINS = 25


def likeness(found: Adversarial) -> list[Panel]:
    """How both sets score as "test", the ROC curve, and what every statistic tells on its own."""
    train = found.train_likeness[~np.isnan(found.train_likeness)]
    test = found.test_likeness[~np.isnan(found.test_likeness)]
    shares = [np.histogram(values, BINS, (0, 1))[0] / len(values) for values in (train, test)]
    x, z, roc = svg.square(0.0, 1.0, ("training images classified as test", "test images classified as test"), SIDE)
    y = svg.Scale(0.0, float(np.max(shares)), z.start, z.end)
    steps = [[(x(k / BINS + end / BINS), y(share)) for k, share in enumerate(one) for end in (0, 1)] for one in shares]
    histogram = [*svg.grid(x, y), svg.text(x.start, 11, "share of the images", "muted")]
    histogram.append(svg.text(x.end, SIDE - 4, "similarity of an image to the test set, 0 to 1", "muted", "end"))
    looks = (("strong", "accent", "training", 0), ("other", "warn", "test", 14))
    for points, (kind, colour, word, down) in zip(steps, looks, strict=True):
        histogram += [svg.line(points, kind), svg.text(x.end, 30 + down, word, colour, "end")]
    limits = np.r_[np.inf, np.quantile(np.concatenate([train, test]), np.linspace(1, 0, 200))]
    curve = [(x(float((train >= limit).mean())), z(float((test >= limit).mean()))) for limit in limits]
    roc.append(svg.line(curve, "strong"))
    area = f"AUC {found.auc:.3f} ± {found.error:.3f}"
    dots = [Dot(name, auc - 0.5, kind="warn" if auc > 0.5 else "accent") for name, auc in found.telling]
    return [
        Panel("Similarity to the test set", "", f"Similarity to the test set, {area}", histogram, SIDE, SIDE),
        Panel(f"ROC, {area}", "", f"ROC curve, {area}", roc, SIDE, SIDE),
        strip("Statistics that differ most", dots, zero=True, note="AUC − 0.5: right of 0: larger in the test set"),
    ]


def class_priors(classes: Sequence[str], train: Sequence[float], test: Sequence[float]) -> Panel:
    """The share of every class in the training set and, by EM, in the test."""
    dots = [Dot(name, here, mate=there) for name, here, there in zip(classes, train, test, strict=True)]
    return strip("Classes in training set and test", dots, mate="test", note="share of the images; orange: test set")
