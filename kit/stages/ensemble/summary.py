"""What a blend is worth, in tables and pictures."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from kit.base.events import Emit, Event
from kit.judge import score
from kit.judge.blend import Blend
from kit.judge.blend.tables import CLASS_HEADER, correlation, disagreement, per_class, reliability
from kit.show.figures import reliability as figures
from kit.show.figures import standalone
from kit.show.figures.heat import pairs
from kit.show.figures.strips import worth
from kit.stages.ensemble.library import Library
from kit.store.files import write_atomic
from kit.store.layout import SubmissionPaths


def tell(emit: Emit, metric: str, seed: int, library: Library, blend: Blend) -> None:
    """Members, plain mean and the choice, each scored out of fold, clean and stressed; classes; what to know."""
    _tell_scores(emit, metric, seed, library, blend)
    _tell_worth(emit, library, blend)
    rows = per_class(library.y, blend.oof, library.classes)
    emit(Event("table", "classes", {"header": CLASS_HEADER, "rows": rows}))
    emit(Event("say", f"blend: {blend.method}"))
    emit(Event("say", f"duality gap {blend.gap:.1e}, bound of the log-linear pools {blend.bound:.1e} nats"))
    for note in blend.notes:
        emit(Event("say", note))
    for what, proba in (("", blend.oof), (" under stress", blend.stressed_oof)):
        if proba is not None:
            last = score.interval(metric, library.y, proba, seed=seed)
            data = {"value": last.score, "low": last.low, "high": last.high}
            emit(Event("number", f"blend: {metric} out of fold{what}", data))


def _tell_scores(emit: Emit, metric: str, seed: int, library: Library, blend: Blend) -> None:
    clean, hurt = _lines(library.proba, blend.oof), _lines(library.stressed, blend.stressed_oof)
    rows = []
    for number, name in enumerate((*library.names, "plain mean", "blend")):
        weight = blend.weights[number] if number < len(library.names) else ""
        nll, ece = (score.score(other, library.y, clean[number]) for other in ("nll", "ece"))
        stressed = [score.score(metric, library.y, hurt[number])] if hurt else []
        found = score.interval(metric, library.y, clean[number], seed=seed)
        rows.append((name, weight, found.score, f"{found.low:.4f} - {found.high:.4f}", *stressed, nll, ece))
    # One interval: a second would not fit into 80 columns, and the blend's is said below.
    stress = ("stressed",) if hurt else ()
    header = ("out of fold", "weight", metric, "95 % interval", *stress, "nll", "ece")
    emit(Event("table", "ensemble", {"header": header, "rows": rows}))


def _lines(members: npt.NDArray[Any] | None, blend: npt.NDArray[Any] | None) -> list[npt.NDArray[Any]]:
    """Probabilities (N, C) of the members' first view, their plain mean and the blend."""
    if members is None or blend is None:
        return []
    return [*members[:, 0], members[:, 0].mean(axis=0), blend]


def _tell_worth(emit: Emit, library: Library, blend: Blend) -> None:
    worth = [(name, *pair) for name, pair in zip(library.names, blend.member_worth, strict=True)]
    worth += [(f"view {name}", *pair) for name, pair in zip(library.views, blend.view_worth, strict=False)]
    weights = [*blend.weights, *blend.views]
    rows = [(name, weight, gain, error) for (name, gain, error), weight in zip(worth, weights, strict=False)]
    header = ("member or view", "weight", "worth in nats", "standard error")
    emit(Event("table", "what each is worth", {"header": header, "rows": rows}))


def draw(paths: SubmissionPaths, library: Library, blend: Blend) -> None:
    """Write the pictures of a candidate beside it: reliability, worth, correlation and disagreement."""
    one_view = library.proba[:, 0]
    found = {"plain mean": one_view.mean(axis=0), "blend": blend.oof}
    panels = {
        "reliability": figures.reliability({name: reliability(library.y, proba) for name, proba in found.items()}),
        "worth": worth(blend),
    }
    if len(library.names) > 1:
        correlations = correlation(one_view, library.y)
        panels["correlation"] = [pairs(correlations, library.names, "Correlation of what the true class was given")]
        panels["disagreement"] = [pairs(disagreement(one_view), library.names, "Shares of rows named differently")]
    for name, drawn in panels.items():
        write_atomic(paths.picture(name), standalone(*drawn))
