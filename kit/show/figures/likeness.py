"""How the test images differ from the training images."""

from collections.abc import Sequence

import numpy as np

from kit.judge.shift.pictures import Adversarial
from kit.show.figures import Panel, svg
from kit.show.figures.strips import Dot, strip

SIDE = 300.0
BINS = 25


def likeness(found: Adversarial) -> list[Panel]:
    """How both sets score as "test", the ROC curve, and what every statistic tells on its own."""
    train = found.train_likeness[~np.isnan(found.train_likeness)]
    test = found.test_likeness[~np.isnan(found.test_likeness)]
    shares = [np.histogram(values, BINS, (0, 1))[0] / len(values) for values in (train, test)]
    x, z, roc = svg.square(0.0, 1.0, ("training images classified as test", "test images classified as test"), SIDE)
    y = svg.Scale(0.0, float(np.max(shares)), z.start, z.end)
    steps = [[(x(k / BINS + end / BINS), y(share)) for k, share in enumerate(one) for end in (0, 1)] for one in shares]
    histogram = [*svg.grid(x, y), svg.text(x.start, 11, "share of the images", "muted")]
    histogram.append(svg.text(x.end, SIDE - 4, "similarity of an image to the test set, 0 to 1", "muted", "end"))
    looks = (("strong", "accent", "training", 0), ("other", "warn", "test", 14))
    for points, (kind, colour, word, down) in zip(steps, looks, strict=True):
        histogram += [svg.line(points, kind), svg.text(x.end, 30 + down, word, colour, "end")]
    limits = np.r_[np.inf, np.quantile(np.concatenate([train, test]), np.linspace(1, 0, 200))]
    curve = [(x(float((train >= limit).mean())), z(float((test >= limit).mean()))) for limit in limits]
    roc.append(svg.line(curve, "strong"))
    area = f"AUC {found.auc:.3f} ± {found.error:.3f}"
    dots = [Dot(name, auc - 0.5, kind="warn" if auc > 0.5 else "accent") for name, auc in found.telling]
    return [
        Panel("Similarity to the test set", "", f"Similarity to the test set, {area}", histogram, SIDE, SIDE),
        Panel(f"ROC, {area}", "", f"ROC curve, {area}", roc, SIDE, SIDE),
        strip("Statistics that differ most", dots, zero=True, note="AUC − 0.5: right of 0: larger in the test set"),
    ]


def class_priors(classes: Sequence[str], train: Sequence[float], test: Sequence[float]) -> Panel:
    """The share of every class in the training set and, by EM, in the test."""
    dots = [Dot(name, here, mate=there) for name, here, there in zip(classes, train, test, strict=True)]
    return strip("Classes in training set and test", dots, mate="test", note="share of the images; orange: test set")
