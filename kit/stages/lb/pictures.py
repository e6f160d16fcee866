"""Three pictures: cross-validation and forecast against score, and our rank over time."""

from __future__ import annotations

from pathlib import Path

from kit.base.events import Emit, Event
from kit.show.figures import Panel, standalone
from kit.show.figures.board import cv_against_score, forecast_against_score, rank_over_time
from kit.stages.lb.report import Report
from kit.store.files import write_atomic
from kit.store.layout import Layout


def draw(layout: Layout, report: Report, emit: Emit) -> list[Path]:
    """Write the pictures that there are numbers for; returns their paths, and tells of those that have news."""
    metric, found = report.competition.metric, dict[str, Panel]()
    scored = [line for line in report.submissions if line.attempt.score is not None]
    forecast = [line for line in scored if line.forecast.basis != "gaps"]
    if scored:
        found["cv-score"] = cv_against_score(scored, metric)
    if forecast:
        found["forecast-score"] = forecast_against_score(forecast, metric)
    if len(report.snapshots) > 1:
        found["rank"] = rank_over_time(report.snapshots)
    texts = {layout.pictures / f"{name}.svg": standalone(panel) for name, panel in found.items()}
    news = [path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in news:
        write_atomic(path, texts[path])
    if news:
        emit(Event("wrote", "", {"paths": news}))
    return list(texts)
