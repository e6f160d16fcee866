"""Whether a probability of nine tenths is right nine times in ten, before and after the blend."""

import numpy as np

from kit.judge.blend.tables import reliability
from kit.show.figures import reliability as figures
from kit.stages.report.inputs import Facts
from kit.stages.report.section import Section


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
    panels = figures.reliability(({"plain mean": before} if before else {}) | {"blend": after})
    gap = float(np.average(after.accuracy - after.confidence, weights=after.count))
    verdict = "is well calibrated"
    if abs(gap) > 0.01:
        verdict = f"is {'underconfident: right more' if gap > 0 else 'overconfident: right less'} often than it says"
    lead = (
        "Images in bins of equal size by the confidence of the predicted class; on the diagonal, confidence and "
        f"accuracy agree. On the whole the blend {verdict}."
    )
    return Section(title, lead, {"panels": panels, "temperatures": f"{temperatures}."})
