"""Whether a probability of nine tenths is right nine times in ten, before and after the blend."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from kit.blend.tables import Reliability, reliability
from kit.report import svg
from kit.report.facts import Facts
from kit.report.parts import Panels
from kit.report.section import Section

SIDE = 300.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 12.0, 18.0, 56.0
BARS = 20.0


def calibration(facts: Facts) -> Section:
    """Reliability of the members' plain mean and of the blend, in bins of equal mass."""
    evidence = facts.evidence
    if evidence is None or facts.blend is None:
        return Section("calibration", "Calibration", run="kit ensemble")
    after = reliability(evidence.y, evidence.proba)
    before = None
    if facts.members:
        before = reliability(evidence.y, np.mean(list(facts.members.values()), axis=0))
    shown = [("plain mean", before), ("blend", after)] if before else [("blend", after)]
    lowest = min(float(min(found.confidence.min(), found.accuracy.min())) for _, found in shown if found)
    panels = [_panel(name, found, min(lowest, 0.9)) for name, found in shown if found]
    pairs = zip(facts.blend.members, facts.blend.temperatures, strict=True)
    temperatures = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
    data = Panels(panels, note=f"{temperatures}.")
    return Section("calibration", "Calibration", _title(before, after), _lead(after), data)


def _title(before: Reliability | None, after: Reliability) -> str:
    if before is None:
        return f"Confidence and accuracy of the blend differ by {100 * after.ece:.1f} points on average"
    verb = "falls" if after.ece < before.ece else "goes"
    return f"The error of calibration {verb} from {100 * before.ece:.1f} to {100 * after.ece:.1f} points in the blend"


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
    parts = []
    for tick in svg.ticks(low, 1.0):
        parts += [svg.line([(LEFT, y(tick)), (SIDE - RIGHT, y(tick))], "grid")]
        parts += [svg.text(LEFT - 6, y(tick) + 3.5, svg.plain(tick), "muted", "end")]
        parts += [svg.text(x(tick), floor + 14, svg.plain(tick), "muted", "middle")]
    parts.append(svg.line([(x(low), y(low)), (x(1), y(1))], "rule"))
    points = sorted(zip(found.confidence.tolist(), found.accuracy.tolist(), found.count.tolist(), strict=True))
    for confidence, accuracy, _ in points:
        parts.append(svg.line([(x(confidence), y(confidence)), (x(confidence), y(accuracy))], "gap"))
    for confidence, accuracy, count in points:
        said = f"{count:g} images: {confidence:.3f} sure, {accuracy:.3f} right"
        parts.append(svg.dot(x(confidence), y(accuracy), "accent", said))
    parts += _density(found, x)
    parts.append(svg.text(LEFT, TOP - 7, "accuracy", "muted"))
    parts.append(svg.text(SIDE - RIGHT, SIDE - 2, "confidence, and where the images lie", "muted", "end"))
    about = f"Reliability of the {name}: expected calibration error {found.ece:.3f} over {len(points)} groups of images"
    return svg.svg(SIDE, SIDE, about, parts), name, f"calibration error {found.ece:.3f}"


def _density(found: Reliability, x: svg.Scale) -> list[str]:
    """A tick a group of equal mass: close together where many images lie."""
    top = SIDE - BOTTOM + 22
    return [svg.line([(x(value), top), (x(value), top + BARS * 0.6)], "mass") for value in found.confidence.tolist()]
