"""Scores of the platform against what was expected of them, and our rank over time."""

from collections.abc import Sequence

from kit.show.figures import WIDTH, Panel, svg
from kit.store.ledger import Snapshot
from kit.store.ledger.standing import Estimate, Line

LEFT, TOP, BOTTOM = 44.0, 16.0, 34.0
SHOWN = 30
HEIGHT = 150.0
SHORTEST = 3600.0  # seconds; snapshots of a shorter time are drawn as far apart as they are many


def against_score(lines: Sequence[Line], metric: str, *, forecast: bool = False) -> Panel:
    """A point per scored submission, and the line on which both numbers agree.

    The other number is cross-validation or, with ``forecast``, the forecast, which did not know the score.
    """
    what, level = ("Forecast", lines[-1].forecast.level) if forecast else ("Cross-validation", 0.95)
    expected = [line.forecast if forecast else Estimate(line.cv, line.low, line.high) for line in lines]
    marks = [(one.value, one.low, one.high) for one in expected]
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
