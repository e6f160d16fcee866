"""What each member and each view adds to the blend, and whether its probabilities are what they say."""

import numpy as np

from kit.judge import score
from kit.judge.blend.tables import reliability
from kit.judge.seen import seen
from kit.show.figures import strips as figures
from kit.show.figures.strips import Dot, strip
from kit.show.figures.strips import reliability as drawn
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


def calibration(facts: Facts) -> Section | str:
    """Reliability of the members' plain mean and of the blend, in bins of equal mass."""
    evidence = facts.evidence
    if evidence is None or facts.blend is None:
        return "kit ensemble"
    flat = evidence.flat
    after = reliability(flat.y, flat.spread(evidence.proba))
    members = list(facts.members.values())
    before = reliability(flat.y, flat.spread(np.mean(members, axis=0))) if members else None
    pairs = zip(facts.blend.members, facts.blend.temperatures, strict=True)
    temperatures = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
    title = f"Confidence and accuracy of the blend differ by {100 * after.ece:.1f} points on average"
    if before is not None:
        verb = f"{'falls' if after.ece < before.ece else 'goes'} from {100 * before.ece:.1f} to {100 * after.ece:.1f}"
        title = f"The calibration error {verb} points in the blend"
    panels = drawn(({"plain mean": before} if before else {}) | {"blend": after})
    gap = float(np.average(after.accuracy - after.confidence, weights=after.count))
    verdict = "is well calibrated"
    if abs(gap) > 0.01:
        verdict = f"is {'underconfident: right more' if gap > 0 else 'overconfident: right less'} often than it says"
    lead = (
        "Images in bins of equal size by the confidence of the predicted class; on the diagonal, confidence and "
        f"accuracy agree. On the whole the blend {verdict}."
    )
    return Section(title, lead, {"panels": panels, "temperatures": f"{temperatures}."})
