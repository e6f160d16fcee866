"""Three pictures: cross-validation and forecast against score, and our rank over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kit.base.events import Emit, Event
from kit.show.plots import to_png
from kit.stages.lb.board import fitting, plain
from kit.stages.lb.report import Report
from kit.store.files import sha256_json, write_atomic
from kit.store.layout import Layout
from kit.store.ledger import Snapshot
from kit.store.ledger.reading import read_cache, write_cache
from kit.store.ledger.standing import Line

VERSION = 3
LABEL = {"textcoords": "offset points", "fontsize": 8, "ha": "center"}
# A season that is younger is drawn as long as this, or its axis would run over years.
SHORTEST = timedelta(hours=1)
LONGEST_NAME = 50
OURS, GREY = "#1f5fa8", "#8a8f98"
KEY = TypeAdapter(dict[str, str])


def draw(layout: Layout, report: Report, emit: Emit) -> list[Path]:
    """Write the pictures that there are numbers for, unless they are drawn already; returns their paths."""
    metric, name = report.competition.metric, report.competition.name
    scored = [line for line in report.submissions if line.attempt.score is not None]
    forecast = [line for line in scored if line.forecast.basis != "gaps"]
    makers = {
        "cv-score.png": (len(scored) > 0, lambda: cv_against_score(scored, metric)),
        "forecast-score.png": (len(forecast) > 0, lambda: forecast_against_score(forecast, metric)),
        "rank.png": (len(report.snapshots) > 1, lambda: rank_over_time(report.snapshots, name)),
    }
    paths = [layout.pictures / name for name, (wanted, _) in makers.items() if wanted]
    marks = [(line.attempt.tag, line.cv, line.attempt.score, line.forecast.value) for line in scored]
    ranks = [(board.time.isoformat(), board.rank, board.lines) for board in report.snapshots]
    key = sha256_json({"version": VERSION, "marks": marks, "ranks": ranks, "metric": metric})
    manifest = layout.pictures / "manifest.json"
    if read_cache(manifest, KEY.validate_json) == {"key": key} and all(path.exists() for path in paths):
        return paths
    for path in paths:
        write_atomic(path, makers[path.name][1]())
    if paths:
        write_cache(manifest, KEY.dump_json({"key": key}))
        emit(Event("wrote", "", {"paths": paths}))
    return paths


def cv_against_score(lines: Sequence[Line], metric: str) -> bytes:
    """PNG: a point per submission with its CV interval, and the line on which both numbers agree."""
    about = ("score = CV", f"{metric}, cross-validation (95 % interval)", "Cross-validation against score")
    return _against_score(lines, [(line.cv, line.low, line.high) for line in lines], metric, about)


def forecast_against_score(lines: Sequence[Line], metric: str) -> bytes:
    """PNG: a point per submission with the interval of its forecast, which did not know its score."""
    level = lines[-1].forecast.level
    about = ("score = forecast", f"{metric}, forecast ({level:.0%} interval)", "Forecast against score")
    marks = [(line.forecast.value, line.forecast.low, line.forecast.high) for line in lines]
    return _against_score(lines, marks, metric, about)


def _against_score(
    lines: Sequence[Line], marks: Sequence[tuple[float, float, float]], metric: str, about: tuple[str, str, str]
) -> bytes:
    def fill(figure: Any) -> None:
        axes = figure.add_subplot()
        found, lows, highs = zip(*marks, strict=True)
        score = [line.attempt.score or 0.0 for line in lines]
        low, high = min(*score, *lows, *found), max(*score, *highs, *found)
        margin = 0.08 * (high - low) or 0.01
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, color=GREY, linewidth=1, linestyle="--", zorder=1)
        axes.text(ends[1], ends[1], f"{about[0]} ", color=GREY, fontsize=8, ha="right", va="bottom", rotation=0)
        errors = [[value - least for value, least, _ in marks], [most - value for value, _, most in marks]]
        axes.errorbar(found, score, xerr=errors, fmt="o", color=OURS, ecolor="#a9c4e4", elinewidth=1.5, zorder=2)
        label = axes.annotate(f"newest {score[-1]:.4f}", (found[-1], score[-1]), xytext=(0, 9), **LABEL)
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8})
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.set_aspect("equal")
        axes.set_xlabel(about[1])
        axes.set_ylabel(f"{metric}, public score")
        axes.set_title(about[2], fontsize=10, loc="left")
        _plain(axes)

    return to_png(fill, 5.0, 5.0)


def rank_over_time(boards: Sequence[Snapshot], name: str) -> bytes:
    """PNG: our best rank at every snapshot, first place at the top."""

    def fill(figure: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        axes = figure.add_subplot()
        times = [board.time for board in boards]
        places = [board.rank or 0 for board in boards]
        axes.step(times, places, where="post", color=OURS, linewidth=1.8)
        axes.plot(times[-1], places[-1], "o", color=OURS)
        label = f"{places[-1]} of {boards[-1].lines}"
        axes.annotate(label, (times[-1], places[-1]), xytext=(-6, 8), textcoords="offset points", ha="right")
        axes.set_ylim(max(places) + max(1.0, 0.08 * max(places)), min(0.5, min(places) - 1))
        axes.yaxis.get_major_locator().set_params(integer=True)
        if times[-1] - times[0] < SHORTEST:
            axes.set_xlim(times[-1] - SHORTEST, times[-1] + SHORTEST / 4)
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_ylabel("rank")
        axes.set_title(f"{fitting(plain(name), LONGEST_NAME)}: rank over time (UTC)", fontsize=10, loc="left")
        _plain(axes)

    return to_png(fill, 7.0, 3.2)


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
