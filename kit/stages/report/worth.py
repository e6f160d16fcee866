"""What each member and each view adds to the blend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kit.judge import score
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, listed
from kit.stages.report.strips import Dot, strip
from kit.store.candidate import StoredBlend

LEAD = (
    "Every figure is out of fold, the blend's too: no row is scored by weights that saw it. Worth is the log loss "
    "without a part, minus that with it: right of zero it helps, and a bar of one standard error across zero is noise."
)


def worth(facts: Facts) -> Section:
    """Scores of members, plain mean and blend; gains of members and views with their standard errors."""
    blend = facts.blend
    if blend is None:
        return Section(run="kit ensemble")
    several = sum(weight > 0 for weight in blend.views) > 1
    metric, dots = facts.config.competition.metric, []
    if facts.members and facts.evidence is not None:
        truth, shipped = facts.evidence.y, facts.evidence.proba
        mean = np.mean(list(facts.members.values()), axis=0)
        for name, proba in [*facts.members.items(), ("plain mean", mean), ("blend", shipped)]:
            found = score.interval(metric, truth, proba, seed=facts.config.ensemble.seed)
            dots.append(Dot(name, found.score, found.low, found.high, kind="accent" if proba is shipped else ""))
    data = {
        "scores": strip(dots) if dots else None,
        "members": strip(_dots(blend.members, blend.weights, blend.member_worth), zero=True),
        "views": strip(_dots(blend.view_names, blend.views, blend.view_worth), zero=True) if several else None,
        "metric": metric,
        "notes": (f"made of {blend.method}", *blend.notes),
    }
    return Section(_title(blend), LEAD, data)


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


def _dots(names: Sequence[str], weights: Sequence[float], gains: Sequence[tuple[float, float]]) -> list[Dot]:
    return [
        Dot(name, gain, gain - error, gain + error, f"weight {weight:.2f}", "accent" if gain > error else "muted")
        for name, weight, (gain, error) in zip(names, weights, gains, strict=False)
    ]
