"""What each member and each view adds to the blend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kit.judge import score
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, listed
from kit.stages.report.strips import Dot, Strip, strip
from kit.store.candidate import StoredBlend

LEAD = (
    "Every figure is out of fold, the blend's too: no row is scored by weights that saw it. Worth is the log loss "
    "without a part, minus that with it: right of zero it helps, and a bar of one standard error across zero is noise."
)


@dataclass(frozen=True)
class Worth:
    """Scores of members and blend where the members are here, worth of members and of views where there are several."""

    scores: Strip | None
    members: Strip
    views: Strip | None
    metric: str
    notes: tuple[str, ...]


def worth(facts: Facts) -> Section:
    """Scores of members, plain mean and blend; gains of members and views with their standard errors."""
    blend = facts.blend
    if blend is None:
        return Section("worth", "Ensemble", run="kit ensemble")
    several = sum(weight > 0 for weight in blend.views) > 1
    data = Worth(
        scores=strip(_scores(facts)) if facts.members else None,
        members=strip(_dots(blend.members, blend.weights, blend.member_worth), zero=True),
        views=strip(_dots(blend.view_names, blend.views, blend.view_worth), zero=True) if several else None,
        metric=facts.config.competition.metric,
        notes=(f"made of {blend.method}", *blend.notes),
    )
    return Section("worth", "Ensemble", _title(blend), LEAD, data)


def _title(blend: StoredBlend) -> str:
    if len(blend.members) == 1:
        return f"One network, {blend.members[0]}: there is nothing to blend"
    idle = [name for name, (gain, error) in zip(blend.members, blend.member_worth, strict=True) if gain <= error]
    if idle and len(idle) < len(blend.members):
        return f"No gain beyond noise from {listed(idle)}"
    if idle:
        return "No network adds more than the noise to the others"
    first = max(range(len(blend.members)), key=lambda m: blend.weights[m])
    return f"Each of the {count(len(blend.members), 'network')} adds something; {blend.members[first]} carries most"


def _scores(facts: Facts) -> list[Dot]:
    assert facts.evidence is not None
    metric, seed = facts.config.competition.metric, facts.config.ensemble.seed
    mean = np.mean(list(facts.members.values()), axis=0)
    dots = []
    for name, proba in [*facts.members.items(), ("plain mean", mean), ("blend", facts.evidence.proba)]:
        found = score.interval(metric, facts.evidence.y, proba, seed=seed)
        kind = "accent" if proba is facts.evidence.proba else ""
        dots.append(Dot(name, found.score, found.low, found.high, kind=kind))
    return dots


def _dots(names: Sequence[str], weights: Sequence[float], gains: Sequence[tuple[float, float]]) -> list[Dot]:
    return [
        Dot(name, gain, gain - error, gain + error, f"weight {weight:.2f}", "accent" if gain > error else "muted")
        for name, weight, (gain, error) in zip(names, weights, gains, strict=False)
    ]
