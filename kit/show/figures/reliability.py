"""Whether a probability of nine tenths is right nine times in ten."""

from collections.abc import Mapping

import numpy as np

from kit.judge.blend.tables import Reliability
from kit.show.figures import svg
from kit.show.figures.panel import Panel

SIDE = 300.0


def reliability(found: Mapping[str, Reliability]) -> list[Panel]:
    """Accuracy over confidence in bins of equal mass, by name, usually of the plain mean and of the blend."""
    lowest = min(float(min(one.confidence.min(), one.accuracy.min())) for one in found.values())
    low = max(0.0, np.floor(min(lowest, 0.9) * 20) / 20 - 0.05)
    panels = []
    for name, one in found.items():
        x, y, parts = svg.square(low, 1.0, ("confidence, one tick per bin", "accuracy"), SIDE)
        points = sorted(zip(one.confidence.tolist(), one.accuracy.tolist(), one.count.tolist(), strict=True))
        for sure, right, n in points:
            parts.append(svg.line([(x(sure), y(sure)), (x(sure), y(right))], "gap"))
            parts.append(svg.dot(x(sure), y(right), "accent", f"confidence {sure:.3f}, accuracy {right:.3f}, n={n:g}"))
            # A tick a group of equal mass: close together where many images lie.
            parts.append(svg.line([(x(sure), SIDE + 2), (x(sure), SIDE + 14)], "mass"))
        error = f"calibration error {one.ece:.3f}"
        about = f"Reliability of the {name}: expected {error} over {len(points)} bins of images"
        panels.append(Panel(name, error, about, parts, SIDE + 16, SIDE))
    return panels
