"""Whether a probability of nine tenths is right nine times in ten, before and after the blend."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from kit.judge.blend.tables import Reliability, reliability
from kit.stages.report import svg
from kit.stages.report.inputs import Facts
from kit.stages.report.parts import Panels
from kit.stages.report.section import Section

SIDE = 300.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 12.0, 18.0, 56.0


def calibration(facts: Facts) -> Section:
    """Reliability of the members' plain mean and of the blend, in bins of equal mass."""
    evidence = facts.evidence
    if evidence is None or facts.blend is None:
        return Section(run="kit ensemble")
    after = reliability(evidence.y, evidence.proba)
    members = list(facts.members.values())
    before = reliability(evidence.y, np.mean(members, axis=0)) if members else None
    shown = [("plain mean", before), ("blend", after)] if before else [("blend", after)]
    lowest = min(float(min(found.confidence.min(), found.accuracy.min())) for _, found in shown)
    panels = [_panel(name, found, min(lowest, 0.9)) for name, found in shown]
    pairs = zip(facts.blend.members, facts.blend.temperatures, strict=True)
    temperatures = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
    title = f"Confidence and accuracy of the blend differ by {100 * after.ece:.1f} points on average"
    if before is not None:
        verb = f"{'falls' if after.ece < before.ece else 'goes'} from {100 * before.ece:.1f} to {100 * after.ece:.1f}"
        title = f"The error of calibration {verb} points in the blend"
    return Section(title, _lead(after), Panels(panels, note=f"{temperatures}."))


def _lead(after: Reliability) -> str:
    gap = float(np.average(after.accuracy - after.confidence, weights=after.count))
    verdict = "says what it is worth"
    if abs(gap) > 0.01:
        verdict = "is too careful: right more often" if gap > 0 else "is too sure: right less often"
        verdict += " than it says"
    return (
        "Images in groups of equal size by the confidence of their first class; on the line, confidence and accuracy "
        f"agree. On the whole the blend {verdict}."
    )


def _panel(name: str, found: Reliability, low: float) -> tuple[Markup, str, str]:
    low = max(0.0, np.floor(low * 20) / 20 - 0.05)
    floor = SIDE - BOTTOM
    x, y = svg.Scale(low, 1.0, LEFT, SIDE - RIGHT), svg.Scale(low, 1.0, floor, TOP)
    parts = [*svg.grid(x, y, both=True), svg.line([(x(low), y(low)), (x(1), y(1))], "rule")]
    points = sorted(zip(found.confidence.tolist(), found.accuracy.tolist(), found.count.tolist(), strict=True))
    for confidence, accuracy, _ in points:
        parts.append(svg.line([(x(confidence), y(confidence)), (x(confidence), y(accuracy))], "gap"))
    for confidence, accuracy, count in points:
        said = f"{count:g} images: {confidence:.3f} sure, {accuracy:.3f} right"
        parts.append(svg.dot(x(confidence), y(accuracy), "accent", said))
    top = floor + 22  # a tick a group of equal mass: close together where many images lie
    parts += [svg.line([(x(value), top), (x(value), top + 12)], "mass") for value in found.confidence.tolist()]
    parts.append(svg.text(LEFT, TOP - 7, "accuracy", "muted"))
    parts.append(svg.text(SIDE - RIGHT, SIDE - 2, "confidence, and where the images lie", "muted", "end"))
    about = f"Reliability of the {name}: expected calibration error {found.ece:.3f} over {len(points)} groups of images"
    return svg.svg(SIDE, SIDE, about, parts), name, f"calibration error {found.ece:.3f}"
