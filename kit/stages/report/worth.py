"""What each member and each view adds to the blend."""

import numpy as np

from kit.judge import score
from kit.judge.seen import seen
from kit.show.figures import strips as figures
from kit.show.figures.strips import Dot, strip
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section, count, listed
from kit.store.candidate import StoredBlend

LEAD = (
    "Every figure is out-of-fold, including the blend's: no row is scored by weights fitted on it. Worth is log loss "
    "without a part minus log loss with it: right of zero it helps; if its standard error crosses zero, it is noise."
)


def worth(facts: Facts) -> Section | str:
    """Scores of members, plain mean and blend; gains of members and views with their standard errors."""
    blend = facts.blend
    if blend is None:
        return "kit ensemble"
    metric, dots, panels = facts.config.competition.metric, [], figures.worth(blend)
    if facts.members and facts.evidence is not None:
        mean = np.mean(list(facts.members.values()), axis=0)
        evidence, seed = facts.evidence, facts.config.ensemble.seed
        every = seen(metric, evidence.task, evidence.truth, evidence.classes, evidence.groups)
        said = {name: every.of(proba) for name, proba in [*facts.members.items(), ("plain mean", mean)]}
        said["blend"] = every.said(evidence.proba, blend.answer(evidence.proba))
        for name, proba in said.items():
            found = score.interval(metric, every.y, proba, seed=seed, groups=every.groups)
            kind = "accent" if name == "blend" else ""
            dots.append(Dot(name, found.score, found.low, found.high, kind=kind))
        panels.insert(0, strip(f"{metric} out of fold", dots))
    decided = [blend.worth_of_decision] if blend.worth_of_decision else []
    notes = (f"made of {blend.method}", *decided, *blend.notes)
    return Section(_title(blend), LEAD, {"panels": panels, "notes": notes})


def _title(blend: StoredBlend) -> str:
    if len(blend.members) == 1:
        return f"One network, {blend.members[0]}: there is nothing to blend"
    idle = [name for name, (gain, error) in zip(blend.members, blend.member_worth, strict=True) if gain <= error]
    if idle and len(idle) < len(blend.members):
        return f"No gain beyond noise from {listed(idle)}"
    if idle:
        return "No network adds more than noise to the others"
    first = max(range(len(blend.members)), key=lambda m: blend.weights[m])
    return f"Each of {count(len(blend.members), 'network')} adds something; {blend.members[first]} has the most weight"
