"""What a blend is worth, in tables and pictures."""

from typing import Any

from kit.base.events import Emit, Event
from kit.config import Config
from kit.judge import score
from kit.judge.blend import Blend
from kit.judge.blend.tables import CLASS_HEADER, correlation, disagreement, per_class, reliability
from kit.judge.metrics import Array
from kit.show.figures import standalone
from kit.show.figures.heat import pairs
from kit.show.figures.strips import reliability as diagrams
from kit.show.figures.strips import worth
from kit.stages.ensemble.library import Library
from kit.store.files import write_atomic
from kit.store.layout import SubmissionPaths
from kit.store.record import Figure

FAR = 2.0


def scores(config: Config, library: Library, blend: Blend) -> tuple[Figure, Figure | None]:
    """What the blend scores out of fold by the competition's metric, on clean rows and on stressed ones."""
    clean, hurt = _said(config, library, blend)
    return _figure(config, library, clean), None if hurt is None else _figure(config, library, hurt)


def _said(config: Config, library: Library, blend: Blend) -> tuple[Array, Array | None]:
    """What the competition's metric is given of the clean rows, and of the stressed ones."""
    every = library.seen(config.competition.metric)
    if blend.stressed_oof is None or blend.stressed_answers is None:
        return every.said(blend.oof, blend.answers), None
    return every.said(blend.oof, blend.answers), every.said(blend.stressed_oof, blend.stressed_answers)


def _figure(config: Config, library: Library, said: Array) -> Figure:
    every = library.seen(config.competition.metric)
    return score.interval(every.metric, every.y, said, seed=config.ensemble.seed, groups=every.groups).figure


def tell(emit: Emit, config: Config, library: Library, blend: Blend, cv: Figure, stressed: Figure | None) -> None:
    """Members, plain mean and the choice, each scored out of fold, clean and stressed; classes; what to know."""
    emit(Event("table", "ensemble", _table_of_scores(config, library, blend, cv)))
    names = [*library.names, *(f"view {name}" for name in library.views)]
    worth, weights = [*blend.member_worth, *blend.view_worth], [*blend.weights, *blend.views]
    lines = [(name, weight, *pair) for name, weight, pair in zip(names, weights, worth, strict=False)]
    header = ("member or view", "weight", "worth in nats", "standard error")
    emit(Event("table", "worth of each member and view", {"header": header, "rows": lines}))
    rows = per_class(library.task, library.truth, blend.answers, library.classes)
    emit(Event("table", "classes", {"header": CLASS_HEADER, "rows": rows}))
    gaps = f"duality gap {blend.gap:.1e}, bound of the log-linear pools {blend.bound:.1e} nats"
    decided = [blend.worth_of_decision] if blend.worth_of_decision else []
    for text in (f"blend: {blend.method}", *decided, gaps, *blend.notes):
        emit(Event("say", text))
    if below := _below_the_mean(config, library, blend):
        emit(Event("warn", below))
    for what, found in (("", cv), (" under stress", stressed)):
        if found is not None:
            data = {"value": found.score, "low": found.low, "high": found.high}
            emit(Event("number", f"blend: {config.competition.metric} out of fold{what}", data))


def _below_the_mean(config: Config, library: Library, blend: Blend) -> str:
    """A warning where the plain mean is better by more than `FAR` standard errors on the competition's metric."""
    metric = config.competition.metric
    rule, every = score.lookup(metric), library.seen(metric)
    mean, ours = every.of(library.proba[:, 0].mean(axis=0)), _said(config, library, blend)[0]
    loss = rule.sign * (rule.function(every.y, mean) - rule.function(every.y, ours))
    if loss <= FAR * score.standard_errors(metric, every.y, mean[None], ours, every.groups)[0]:
        return ""
    text = f"the blend is worse than the plain mean by {loss:.4f} in {metric}, more than {FAR:g} standard errors"
    if config.ensemble.metric in (None, metric):
        return text
    return f"{text}: it was fitted for {config.ensemble.metric}; try [ensemble] metric = {metric!r}"


def _table_of_scores(config: Config, library: Library, blend: Blend, cv: Figure) -> dict[str, Any]:
    metric = config.competition.metric
    every, others = library.seen(metric), [other for other in ("nll", "ece") if other != metric]

    def lines(members: Array) -> list[Array]:
        """(N, C) of the members' first view and their plain mean."""
        return [*members[:, 0], members[:, 0].mean(axis=0)]

    clean, ours = [*lines(library.proba), blend.oof], _said(config, library, blend)[1]
    hurt = [] if library.stressed is None or ours is None else [*map(every.of, lines(library.stressed)), ours]
    figures = [_figure(config, library, every.of(proba)) for proba in clean[:-1]]
    names, weights = (*library.names, "plain mean", "blend"), (*blend.weights, "", "")
    rows, seen = [], [library.seen(other) for other in others]
    for number, found in enumerate([*figures, cv]):
        stressed = [score.score(metric, every.y, hurt[number])] if hurt else []
        further = [score.score(one.metric, one.y, one.of(clean[number])) for one in seen]
        interval = f"{found.low:.4f} - {found.high:.4f}"
        rows.append((names[number], weights[number], found.score, interval, *stressed, *further))
    # One interval: a second would not fit into 80 columns, and the blend's is said below.
    stress = ("stressed",) if hurt else ()
    return {"header": ("out of fold", "weight", metric, "95 % interval", *stress, *others), "rows": rows}


def draw(paths: SubmissionPaths, library: Library, blend: Blend) -> None:
    """Write the pictures of a candidate beside it: reliability, worth, correlation and disagreement."""
    flat = library.flat
    one_view, y = flat.spread(library.proba[:, 0]), flat.y
    found = {"plain mean": one_view.mean(axis=0), "blend": flat.spread(blend.oof)}
    panels = {
        "reliability": diagrams({name: reliability(y, proba) for name, proba in found.items()}),
        "worth": worth(blend),
    }
    if len(library.names) > 1:
        correlations = correlation(one_view, y)
        panels["correlation"] = [pairs(correlations, library.names, "Correlation of the true class's probabilities")]
        panels["disagreement"] = [pairs(disagreement(one_view), library.names, "Share of rows predicted differently")]
    for name, drawn in panels.items():
        write_atomic(paths.picture(name), standalone(*drawn))
