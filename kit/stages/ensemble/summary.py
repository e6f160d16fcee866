"""What a blend is worth, in tables and pictures."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from kit.base.events import Emit, Event
from kit.config import Config
from kit.judge import score
from kit.judge.blend import Blend
from kit.judge.blend.tables import CLASS_HEADER, correlation, disagreement, per_class, reliability
from kit.judge.metrics import Array
from kit.judge.seen import Seen
from kit.show.figures import heat, standalone, strips
from kit.stages.ensemble.library import Library
from kit.store.files import write_atomic
from kit.store.layout import SubmissionPaths
from kit.store.record import Figure

FAR = 2.0


def tell(emit: Emit, config: Config, library: Library, blend: Blend) -> tuple[Figure, Figure | None]:
    """Members, plain mean and the choice, each scored out of fold, clean and stressed; classes; what to know.

    Returns what the blend scores by the competition's metric, on clean rows and on stressed ones.
    """
    metric = config.competition.metric
    every = library.seen(metric)
    interval = partial(score.interval, metric, every.y, seed=config.ensemble.seed, groups=every.groups)
    clean, hurt = every.said(blend.oof, blend.answers), None
    if blend.stressed_oof is not None and blend.stressed_answers is not None:
        hurt = every.said(blend.stressed_oof, blend.stressed_answers)
    cv, stressed = interval(clean).figure, None if hurt is None else interval(hurt).figure
    figures = [*(interval(every.of(proba)).figure for proba in _lines(library.proba)), cv]
    emit(Event("table", "ensemble", _table_of_scores(library, blend, every, figures, hurt)))
    names = [*library.names, *(f"view {name}" for name in library.views)]
    worth, weights = [*blend.member_worth, *blend.view_worth], [*blend.weights, *blend.views]
    lines = [(name, weight, *pair) for name, weight, pair in zip(names, weights, worth, strict=False)]
    header = ("member or view", "weight", "worth in nats", "standard error")
    emit(Event("table", "worth of each member and view", {"header": header, "rows": lines}))
    if library.task.kind != "numbers":  # whose bins nobody asks for
        rows = per_class(library.task, library.truth, blend.answers, library.classes)
        emit(Event("table", "classes", {"header": CLASS_HEADER, "rows": rows}))
    gaps = f"duality gap {blend.gap:.1e}, bound of the log-linear pools {blend.bound:.1e} nats"
    decided = [blend.worth_of_decision] if blend.worth_of_decision else []
    for text in (f"blend: {blend.method}", *decided, gaps, *blend.notes):
        emit(Event("say", text))
    if below := _below_the_mean(config, every, _lines(library.proba)[-1], clean):
        emit(Event("warn", below))
    for what, found in (("", cv), (" under stress", stressed)):
        if found is not None:
            data = {"value": found.score, "low": found.low, "high": found.high}
            emit(Event("number", f"blend: {metric} out of fold{what}", data))
    return cv, stressed


def _lines(members: Array) -> list[Array]:
    """(N, C) of the first view of members (M, V, N, C), and their plain mean."""
    return [*members[:, 0], members[:, 0].mean(axis=0)]


def _below_the_mean(config: Config, every: Seen, proba: Array, ours: Array) -> str:
    """A warning where the plain mean is better by more than `FAR` standard errors on the competition's metric."""
    metric, mean, rule = every.metric, every.of(proba), score.lookup(every.metric)
    loss = rule.sign * (rule.function(every.y, mean) - rule.function(every.y, ours))
    if loss <= FAR * score.standard_errors(metric, every.y, mean[None], ours, every.groups)[0]:
        return ""
    text = f"the blend is worse than the plain mean by {loss:.4f} in {metric}, more than {FAR:g} standard errors"
    if config.ensemble.metric in (None, metric):
        return text
    return f"{text}: it was fitted for {config.ensemble.metric}; try [ensemble] metric = {metric!r}"


def _table_of_scores(
    library: Library, blend: Blend, every: Seen, figures: Sequence[Figure], ours: Array | None
) -> dict[str, Any]:
    others = [other for other in ("nll", "ece") if other != every.metric]
    hurt = [] if library.stressed is None or ours is None else [*map(every.of, _lines(library.stressed)), ours]
    names, weights = (*library.names, "plain mean", "blend"), (*blend.weights, "", "")
    rows, seen = [], [library.seen(other) for other in others]
    for number, (found, clean) in enumerate(zip(figures, [*_lines(library.proba), blend.oof], strict=True)):
        stressed = [score.score(every.metric, every.y, hurt[number])] if hurt else []
        further = [score.score(one.metric, one.y, one.of(clean)) for one in seen]
        interval = f"{found.low:.4f} - {found.high:.4f}"
        rows.append((names[number], weights[number], found.score, interval, *stressed, *further))
    # One interval: a second would not fit into 80 columns, and the blend's is said below.
    stress = ("stressed",) if hurt else ()
    return {"header": ("out of fold", "weight", every.metric, "95 % interval", *stress, *others), "rows": rows}


def draw(paths: SubmissionPaths, library: Library, blend: Blend) -> None:
    """Write the pictures of a candidate beside it: reliability, worth, correlation and disagreement."""
    flat = library.flat
    one_view, y = flat.spread(library.proba[:, 0]), flat.y
    found = {"plain mean": one_view.mean(axis=0), "blend": flat.spread(blend.oof)}
    panels = {
        "reliability": strips.reliability({name: reliability(y, proba) for name, proba in found.items()}),
        "worth": strips.worth(blend),
    }
    if len(library.names) > 1:
        titled = {
            "correlation": (correlation(one_view, y), "Correlation of the true class's probabilities"),
            "disagreement": (disagreement(one_view), "Share of rows predicted differently"),
        }
        panels |= {name: [heat.pairs(table, library.names, title)] for name, (table, title) in titled.items()}
    for name, drawn in panels.items():
        write_atomic(paths.picture(name), standalone(*drawn))
