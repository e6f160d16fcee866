"""Learning curves of a run: accuracy and log loss on held-out rows after every epoch, a line per fold."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kit.config import RunConfig
from kit.runs.results import Epoch, kept
from kit.show.figures import WIDTH, Panel, svg

HEIGHT = 190.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 62.0, 24.0, 20.0
Curve = list[tuple[int, float]]


class Curves(NamedTuple):
    """A column of all folds: by fold and stage its (epoch, value), and the mean where all folds have one.

    Epochs are counted from 1 through all stages; each stage begins at the same place in all folds. Lines are broken
    between stages: the weights may jump back to the best.
    """

    folds: dict[int, list[Curve]]
    mean: Curve


def begins(folds: Mapping[int, Sequence[Epoch]]) -> dict[int, int]:
    """The place before the first epoch of each stage."""
    stages = sorted({epoch.stage for epochs in folds.values() for epoch in epochs})
    longest = [max(sum(epoch.stage == stage for epoch in epochs) for epochs in folds.values()) for stage in stages]
    return dict(zip(stages, np.cumsum([0, *longest]).tolist(), strict=False))


def curves(folds: Mapping[int, Sequence[Epoch]], column: str) -> Curves:
    """A column of the histories; what is not finite is left out."""
    start, found = begins(folds), dict[int, list[Curve]]()
    by_place: dict[int, list[float]] = {}
    for fold, epochs in folds.items():
        lines: dict[int, Curve] = {stage: [] for stage in start}
        for epoch in epochs:
            value, place = float(epoch.columns().get(column, "nan")), start[epoch.stage] + epoch.epoch + 1
            if np.isfinite(value):
                lines[epoch.stage].append((place, value))
                by_place.setdefault(place, []).append(value)
        found[fold] = [line for line in lines.values() if line]
    # Where early stopping ended some folds, a mean of the others would jump.
    mean = [(place, float(np.mean(values))) for place, values in by_place.items() if len(values) == len(folds)]
    return Curves(found, sorted(mean))


def learning_curves(name: str, folds: Mapping[int, Sequence[Epoch]], settings: RunConfig) -> list[Panel]:
    """What fits the task, and log loss with that of the training; dots are the epochs whose weights were kept."""
    start = begins(folds)
    rules = [(start[stage] + 0.5, settings.stages[stage].train) for stage in list(start)[1:]]
    ends = {}
    for fold, epochs in folds.items():
        marked = (epochs[place] for place in kept(epochs, settings))
        ends[fold] = {start[epoch.stage] + epoch.epoch + 1 for epoch in marked}
    metric = next((name for epochs in folds.values() for epoch in epochs for name in epoch.valid), "accuracy")
    accuracy, loss = (curves(folds, f"valid_{name}") for name in (metric, "nll"))
    last = {fold: lines[-1][-1][1] for fold, lines in accuracy.folds.items() if lines}
    spread = best = ""
    if len(last) > 1:
        low, high = min(last, key=lambda fold: last[fold]), max(last, key=lambda fold: last[fold])
        spread = f"Fold {low} ends lowest at {last[low]:.3f}, fold {high} highest at {last[high]:.3f}."
    if loss.mean:
        place, value = min(loss.mean, key=lambda point: point[1])
        best = f"Mean log loss is lowest, {value:.3f}, after epoch {place} of {loss.mean[-1][0]}."
    return [
        _panel((name, f"{metric} on held-out rows", spread), accuracy, rules, ends),
        _panel((name, "log loss", best), loss, rules, ends, curves(folds, "loss").mean),
    ]


def _panel(
    about: tuple[str, str, str],
    found: Curves,
    rules: Sequence[tuple[float, str]],
    ends: Mapping[int, set[int]],
    train: Curve | None = None,
) -> Panel:
    """One column: ``rules`` (place, words) are where stages begin, ``ends`` by fold the places of kept epochs."""
    lines = [line for lines in found.folds.values() for line in lines]
    points = [point for line in (*lines, train or []) for point in line] or [(1, 0.0)]
    values, last = [value for _, value in points], max(place for place, _ in points)
    top = float(np.quantile(values, 0.98)) if train else max(values)  # one bad first epoch must not rule
    x, y = svg.Scale(1, max(last, 2), LEFT, WIDTH - RIGHT), svg.Scale(min(values), top, HEIGHT - BOTTOM, TOP)

    def at(line: Curve) -> list[tuple[float, float]]:
        return [(x(epoch), y(min(value, top))) for epoch, value in line]

    parts = [*svg.grid(x, y), svg.text(LEFT, 10, about[1], "muted")]
    parts.append(svg.text(LEFT, HEIGHT - 6, "epoch 1", "muted"))
    parts += [svg.text(x(last), HEIGHT - 6, str(last), "muted", "end")] if last > 1 else []
    for place, words in rules:
        parts.append(svg.line([(x(place), TOP), (x(place), HEIGHT - BOTTOM)], "rule"))
        parts.append(svg.text(x(place) + 4, TOP + 8, words, "muted"))
    for fold, lines in found.folds.items():
        for line in lines:
            parts.append(svg.line(at(line), "fine", f"fold {fold}"))
            marked = at([point for point in line if point[0] in ends[fold]])
            parts += [svg.dot(*point, "soft", f"fold {fold}, the weights that were kept", 2.5) for point in marked]
    parts += [svg.line(at(train), "dashed", "training loss")] if train else []
    parts.append(svg.line(at(found.mean), "strong", "mean of the folds"))
    said = ""
    if found.mean:
        said, (_, here) = f", the mean ends at {found.mean[-1][1]:.3f}", at(found.mean)[-1]
        parts.append(svg.text(WIDTH - RIGHT + 6, here + 4, "held out" if train else said[-5:], "accent"))
        if train:  # beside its end, where the other word leaves room
            _, there = at(train)[-1]
            there = there if abs(there - here) >= 13 else here + (13 if there >= here else -13)
            parts.append(svg.text(WIDTH - RIGHT + 6, there + 4, "training", "muted"))
    alternative = f"{about[0]}: {about[1]} after each of {last} epochs in {len(found.folds)} folds{said}"
    return Panel(about[0], about[2], alternative, parts, HEIGHT)
