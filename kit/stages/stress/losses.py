"""Scores under stress in tables, a picture and words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kit.base.arrays import ImageArray
from kit.base.events import Emit, Event
from kit.config import Config
from kit.images.corrupt import FAMILIES, SEVERITIES, corrupt
from kit.images.corrupt.mixture import CLEAN, assign
from kit.images.corrupt.plan import StressPlan, plan_of, sampled, split
from kit.judge import score
from kit.judge.seen import seen_of
from kit.runs.stressed import StressScores
from kit.show.figures.sheets import Tile, png, sheet
from kit.store.data import Index, load_images, load_index
from kit.store.files import write_atomic
from kit.store.layout import Layout
from kit.store.predictions import Predictions
from kit.store.record import Figure

MIXTURE = "mixture"
HEADER = ("family", "severity", "rows", "score", "drop")
PICTURES = 15


def cell_rows(metric: str, index: Index, clean: Predictions, found: Predictions) -> list[tuple[Any, ...]]:
    """(family, severity, rows, score, drop) of every cell of the grid; the drop is against the same rows clean."""
    ids, families, severities = split(found.ids)
    sample = clean.take(list(dict.fromkeys(ids)))
    whole, proba = seen_of(metric, index, sample.ids), found.first
    before = score.score(metric, whole.y, whole.of(sample.first))
    rows = [(CLEAN, 0, len(sample.ids), before, 0.0)]
    for family in dict.fromkeys(families.tolist()):
        for degree in SEVERITIES:
            here = np.flatnonzero((families == family) & (severities == degree))
            part = seen_of(metric, index, [ids[row] for row in here])
            after = score.score(metric, part.y, part.of(proba[here]))
            rows.append((family, degree, len(here), after, _drop(metric, before, after)))
    return rows


def mixture_row(metric: str, index: Index, clean: Predictions, found: Predictions, plan: StressPlan) -> tuple[Any, ...]:
    """The line of all rows under the mixture; its severity is the mean of the severities drawn."""
    every = seen_of(metric, index, found.ids)
    both = (clean.take(found.ids).first, found.first)
    before, after = (score.score(metric, every.y, every.of(proba)) for proba in both)
    severity = round(float(assign(plan, found.ids, plan.seed).severity.mean()), 2)
    return (MIXTURE, severity, len(found.ids), after, _drop(metric, before, after))


def _drop(metric: str, before: float, after: float) -> float:
    sign = score.lookup(metric).sign
    return sign * before - sign * after


def summary(metric: str, index: Index, clean: Predictions, found: Predictions, seed: int) -> StressScores:
    """Scores with 95 % intervals: clean, stressed, and how much worse that is, in pairs over the rows."""
    every = seen_of(metric, index, found.ids)
    y, groups = every.y, every.groups
    before, after = every.of(clean.take(found.ids).first), every.of(found.first)
    first, second = (before, after) if score.lookup(metric).greater_is_better else (after, before)
    return StressScores(
        clean=score.interval(metric, y, before, seed=seed, groups=groups).figure,
        stressed=score.interval(metric, y, after, seed=seed, groups=groups).figure,
        drop=score.difference(metric, y, first, second, seed=seed, groups=groups).figure,
    )


def tell(emit: Emit, metric: str, name: str, rows: Sequence[Sequence[Any]], scores: StressScores) -> None:
    """The run's scores by family and severity, then clean and stressed over all held-out rows."""
    cells = {(row[0], int(row[1])): float(row[3]) for row in rows if row[0] != MIXTURE}
    families = list(dict.fromkeys(family for family, _ in cells if family != CLEAN))
    lines = [(family, *(cells[family, degree] for degree in SEVERITIES)) for family in families]
    title = f"{name}: {metric} of {rows[0][2]} held-out rows by severity, {float(rows[0][3]):.4f} clean"
    emit(Event("table", title, {"header": ("family", *map(str, SEVERITIES)), "rows": lines}))
    tell_scores(emit, metric, name, scores)


def tell_scores(emit: Emit, metric: str, name: str, scores: StressScores) -> None:
    """Clean, stressed and the drop, each with its interval."""
    for kind in ("clean", "stressed", "drop"):
        found: Figure = getattr(scores, kind)
        what = "drop from clean to stressed" if kind == "drop" else f"{metric} out of fold, {kind}"
        data = {"value": found.score, "low": found.low, "high": found.high, "run": name, "rows": kind}
        emit(Event("number", f"{name}: {what}", data))


def corruption_sheet(layout: Layout, config: Config, emit: Emit) -> Path:
    """Write ``runs/corruptions.png``: a row for every family, a column for every severity from 0."""
    index, plan = load_index(layout), plan_of(config.stress)
    chosen = set(sampled(plan, index.ids)[:PICTURES])
    rows = [row for row, name in enumerate(index.ids) if name in chosen]
    picture = contact_sheet(np.asarray(load_images(layout)[rows]), plan.seed)
    path = write_atomic(layout.corruptions_picture, png(picture))
    emit(Event("wrote", "", {"paths": [path]}))
    return path


def contact_sheet(images: ImageArray, seed: int = 0) -> Image.Image:
    """A row for every family, a column for severities 0 to 5; rows take the images in turn."""
    rows = []
    for row, family in enumerate(FAMILIES):
        image, drawn = images[row % len(images)][None], np.array([seed + row])
        made = [corrupt(image, family, degree, drawn)[0] for degree in (0, *SEVERITIES)]
        rows.append([Tile(one, f"{family} {degree}") for degree, one in enumerate(made)])
    return sheet(rows, "Corruptions by severity")
