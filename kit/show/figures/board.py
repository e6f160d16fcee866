"""Scores and probabilities against what came of them, and our rank over time."""

from collections.abc import Mapping, Sequence

import numpy as np

from kit.judge.blend.tables import Reliability
from kit.show.figures import svg
from kit.show.figures.panel import WIDTH, Panel
from kit.store.ledger import Snapshot
from kit.store.ledger.standing import Line

LEFT, TOP, BOTTOM = 44.0, 16.0, 34.0
SHOWN = 30
HEIGHT = 150.0
SHORTEST = 3600.0  # seconds; snapshots of a shorter time are drawn as far apart as they are many


def cv_against_score(lines: Sequence[Line], metric: str) -> Panel:
    """A point per scored submission with its interval, and the line on which both numbers agree."""
    return _against_score(lines, [(line.cv, line.low, line.high) for line in lines], metric, "Cross-validation")


def forecast_against_score(lines: Sequence[Line], metric: str) -> Panel:
    """A point per scored submission with the interval of its forecast, which did not know its score."""
    marks = [(line.forecast.value, line.forecast.low, line.forecast.high) for line in lines]
    return _against_score(lines, marks, metric, "Forecast", lines[-1].forecast.level)


def _against_score(
    lines: Sequence[Line], marks: Sequence[tuple[float, float, float]], metric: str, what: str, level: float = 0.95
) -> Panel:
    shown = [(line, line.attempt.score or 0.0, mark) for line, mark in zip(lines, marks, strict=True)][-SHOWN:]
    ends = [value for _, score, mark in shown for value in (score, *mark)]
    margin = 0.05 * ((max(ends) - min(ends)) or 1.0)
    low, high = min(ends) - margin, max(ends) + margin
    x, y, parts = svg.square(low, high, (f"{what.lower()} of {metric}, {level:.0%}", "score"), WIDTH)
    parts.append(svg.text(x.end, 11, "as expected", "muted", "end"))
    for line, score, (value, least, most) in shown:
        kind = "accent" if line is lines[-1] else "soft"
        said = f"{line.attempt.submission.name}: {value:.4f} against {score:.4f}"
        parts.append(svg.line([(x(least), y(score)), (x(most), y(score))], f"whisker {kind}"))
        parts.append(svg.dot(x(value), y(score), kind, said, 4.5))
    _, score, (value, *_) = shown[-1]
    parts.append(svg.text(x(value), y(score) - 9, f"{score:.4f}", "accent", "middle"))
    about = f"{len(shown)} submissions, {what.lower()} against score; the newest {value:.4f} against {score:.4f}"
    return Panel(f"{what} against score", "below the line: score lower than expected", about, parts, WIDTH)


def rank_over_time(boards: Sequence[Snapshot]) -> Panel:
    """Our best rank in every snapshot that has one, first place at the top."""
    ranks = [(board.time, board.rank) for board in boards if board.rank is not None]
    first, last, worst = ranks[0][0], ranks[-1][0], max(rank for _, rank in ranks)
    times = [(time - first).total_seconds() for time, _ in ranks]
    if times[-1] < SHORTEST:
        times = [float(number) for number in range(len(ranks))]
    x = svg.Scale(0.0, times[-1], LEFT, WIDTH - 40)
    y = svg.Scale(1, max(worst, 2), TOP, HEIGHT - BOTTOM)
    parts = []
    for tick in sorted({1, worst}):
        parts.append(svg.line([(LEFT, y(tick)), (WIDTH - 40, y(tick))], "grid"))
        parts.append(svg.text(LEFT - 6, y(tick) + 3.5, str(tick), "muted", "end"))
    curve: list[tuple[float, float]] = []
    for time, (_, rank) in zip(times, ranks, strict=True):  # a rank holds until the next snapshot
        curve += [(x(time), curve[-1][1])] if curve else []
        curve.append((x(time), y(rank)))
    parts += [svg.line(curve, "strong"), svg.dot(*curve[-1], "accent")]
    parts.append(svg.text(curve[-1][0] + 7, curve[-1][1] + 4, str(ranks[-1][1]), "accent"))
    pattern = "%Y-%m-%d" if (last - first).days > 1 else "%m-%d %H:%M"
    parts.append(svg.text(LEFT, HEIGHT - 14, f"{first:{pattern}}", "muted"))
    parts.append(svg.text(WIDTH - 40, HEIGHT - 14, f"{last:{pattern}} UTC", "muted", "end"))
    about = f"Rank over {len(ranks)} snapshots, now {ranks[-1][1]} of {boards[-1].lines}"
    return Panel("Rank over time", f"{len(ranks)} snapshots of the board", about, parts, HEIGHT)


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
