"""Learning curves of every run and fold, as small multiples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from kit.runs.history import Epoch, histories
from kit.stages.report import svg
from kit.stages.report.inputs import Facts
from kit.stages.report.parts import Panels
from kit.stages.report.section import Section, listed, number

WIDTH, HEIGHT = 340.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 62.0, 24.0, 20.0
Curve = list[tuple[float, float]]


def curves(facts: Facts) -> Section:
    """Accuracy and log loss on held-out rows after every epoch, a line a fold."""
    runs = []
    for run in facts.runs:
        config, folds = run.record.config, facts.attempt(partial(histories, run.paths, run.record))
        about = f"{config.backbone}, {'from scratch' if config.weights == 'none' else config.weights}"
        runs += [Trained(run.record.run, about, folds)] if folds else []
    if not runs:
        return Section(run="kit train")
    return Section(
        _title(runs),
        "One line a fold, on the images that it did not train on. Fine lines are folds, the strong one is their mean; "
        "the dashed one is the loss on training images, which augmentation makes harder.",
        [Panels(_panels(run), run.name, run.about) for run in runs],
    )


@dataclass(frozen=True)
class Trained:
    """A run with the epochs of each of its folds."""

    name: str
    about: str
    folds: dict[int, list[Epoch]]


def values(epochs: list[Epoch], column: str) -> Curve:
    """A column of a history over epochs counted from 1 through all stages; what is not finite is left out."""
    cells = [(float(n), float(epoch.columns().get(column, "nan"))) for n, epoch in enumerate(epochs, 1)]
    return [(n, value) for n, value in cells if np.isfinite(value)]


def _title(runs: list[Trained]) -> str:
    losses = [(run.name, [value for _, value in _mean(run, "valid_nll")]) for run in runs]
    lowest = [(name, mean, int(np.argmin(mean))) for name, mean in losses if len(mean) > 2]
    rising = [name for name, mean, at in lowest if at < len(mean) - 2 and mean[-1] > 1.05 * mean[at]]
    if rising:
        return f"Fewer epochs, or stronger augmentation: held-out loss rises again in {listed(rising)}"
    falling = [name for name, mean, at in lowest if at == len(mean) - 1 and mean[-1] < 0.97 * mean[-2]]
    if falling:
        return f"More epochs may pay: loss was still falling in the last one of {listed(falling)}"
    return "Training had settled when it ended"


def _mean(run: Trained, column: str) -> Curve:
    by_epoch: dict[float, list[float]] = {}
    for epochs in run.folds.values():
        for epoch, value in values(epochs, column):
            by_epoch.setdefault(epoch, []).append(value)
    # Where early stopping ended some folds, a mean of the others would jump.
    return [(epoch, float(np.mean(found))) for epoch, found in by_epoch.items() if len(found) == len(run.folds)]


def _panels(run: Trained) -> list[tuple[Markup, str, str]]:
    accuracy = {fold: values(epochs, "valid_accuracy") for fold, epochs in run.folds.items()}
    last = {fold: curve[-1][1] for fold, curve in accuracy.items() if curve}
    spread = ""
    if len(last) > 1:
        low, high = min(last, key=lambda fold: last[fold]), max(last, key=lambda fold: last[fold])
        spread = f"Fold {low} ends lowest at {number(last[low], 3)}, fold {high} highest at {number(last[high], 3)}."
    mean = _mean(run, "valid_nll")
    best = min(mean, key=lambda point: point[1]) if mean else None
    caption = f"Mean log loss is lowest, {best[1]:.3f}, after epoch {best[0]:.0f} of {len(mean)}." if best else ""
    return [
        (_panel(run, "valid_accuracy", "accuracy"), "", spread),
        (_panel(run, "valid_nll", "log loss", "loss"), "", caption),
    ]


def _panel(run: Trained, column: str, label: str, other: str = "") -> Markup:
    lines = {fold: values(epochs, column) for fold, epochs in run.folds.items()}
    mean, train = _mean(run, column), _mean(run, other) if other else []
    ys = [value for curve in (*lines.values(), train) for _, value in curve] or [0.0, 1.0]
    top = float(np.quantile(ys, 0.98)) if column == "valid_nll" else max(ys)  # one bad first epoch must not rule
    epochs = max((len(curve) for curve in lines.values()), default=1)
    x = svg.Scale(1, max(epochs, 2), LEFT, WIDTH - RIGHT)
    y = svg.Scale(min(ys), top, HEIGHT - BOTTOM, TOP)
    parts = svg.grid(x, y)
    for tick in {1, epochs}:
        words, side = ("epoch 1", "start") if tick == 1 else (str(tick), "middle")
        parts.append(svg.text(x(tick), HEIGHT - BOTTOM + 14, words, "muted", side))
    parts += _stages(run, x)
    parts += [svg.line(_clipped(curve, x, y, top), "fine", f"fold {fold}") for fold, curve in lines.items()]
    if train:
        parts.append(svg.line(_clipped(train, x, y, top), "dashed", "training loss"))
    parts.append(svg.line(_clipped(mean, x, y, top), "strong", "mean of the folds"))
    parts += _ends([(mean, "held out", "accent"), (train, "training", "muted")], y, top, named=bool(train))
    about = f"{run.name}: {label} after each of {epochs} epochs in {len(lines)} folds"
    about += f", the mean ends at {mean[-1][1]:.3f}" if mean else ""
    return svg.svg(WIDTH, HEIGHT, about, [*parts, svg.text(LEFT, 10, label, "muted")])


def _clipped(curve: Curve, x: svg.Scale, y: svg.Scale, top: float) -> Curve:
    return [(x(epoch), y(min(value, top))) for epoch, value in curve]


def _stages(run: Trained, x: svg.Scale) -> list[str]:
    """A rule where a new stage begins, and what it trains."""
    longest: list[Epoch] = max(run.folds.values(), key=len)
    parts = []
    for n, (before, epoch) in enumerate(pairwise(longest), 2):
        if before.stage != epoch.stage:
            place = x(n - 0.5)
            parts.append(svg.line([(place, TOP), (place, HEIGHT - BOTTOM)], "rule"))
            parts.append(svg.text(place + 4, TOP + 8, epoch.train, "muted"))
    return parts


def _ends(curves: list[tuple[Curve, str, str]], y: svg.Scale, top: float, *, named: bool) -> list[str]:
    """What the curves are, or where the only one ends, written behind their last points."""
    shown = [(curve[-1][1], word, kind) for curve, word, kind in curves if curve]
    places = svg.spread([y(min(value, top)) for value, *_ in shown], 13, TOP + 4, HEIGHT - BOTTOM)
    return [
        svg.text(WIDTH - RIGHT + 6, place + 4, word if named else number(value, 3), kind)
        for (value, word, kind), place in zip(shown, places, strict=True)
    ]
