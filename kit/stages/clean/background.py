"""One background under many different pictures."""

import numpy as np

from kit.base.arrays import ImageArray, IntArray
from kit.stages.clean.draft import components
from kit.stages.clean.measured import Measured, measure
from kit.stages.clean.near import Cells

# Frames of the practice pictures that lie on one background correlate by 0.98, frames of different ones by at most
# 0.69 (blood cells: 0.6).
ALIKE = 0.85
# As a rule half a grey level of fine detail on every side: an empty background proves nothing, nor does a stroke
# that touches the edge (digits), nor a picture of a few pixels.
PLAIN = 0.5
SMALLEST = 24
FEWEST = 5
SAMPLE, MOST_PAIRS = 1024, 2e6
# With the mean frame of a set, free of what reaches into single frames, less is enough: practice pictures on the
# set's background reach 0.8, others stay below 0.65; few may be in between.
LIKE_THE_MEAN, UNLIKE_THE_MEAN, BETWEEN = 0.75, 0.65, 0.1
# A mark in a corner, such as the R of radiographs, is the detail of one side or two, a background that of three: of as
# many sides the median is 0.5 in invented radiographs and 1.0 in practice.
LIKE_ON_A_SIDE = 0.7


def shared_backgrounds(images: ImageArray, rows: IntArray, measured: Measured | None = None) -> list[IntArray]:
    """Find the sets of pictures whose outer edge shows the same fine detail.

    Of ``images`` (N, H, W, 3) ``rows`` (K,), no two identical, are looked at; ``measured`` is what was measured of
    all. Returns the ascending rows of each set of at least five, by first row.

    Components of pictures whose edges correlate give a mean edge, and each picture joins the one most like its own.
    Lines along a side are no detail: a drawn frame, a shadow, bars, paper.
    """
    if min(images.shape[1:3]) < SMALLEST:
        return []
    found = measured or measure(images)
    strength = found.strength[rows]
    firm = np.flatnonzero(strength >= PLAIN)
    if len(firm) < FEWEST:
        return []
    # In an order that says nothing about the rows; there is one copy of the edges at a time.
    size = found.edges.itemsize * found.edges.shape[1]
    firm = firm[np.argsort(found.edges[rows[firm]].view(f"V{size}").ravel())]
    edges = found.edges[rows[firm]].astype(np.float32)
    edges /= np.maximum(np.sqrt(np.einsum("ij,ij->i", edges, edges)), 1e-6)[:, None]  # `norm` squares a copy of all
    # All of them, or a sample where most are alike: a common scene is found in a sample too.
    searched = edges[:: -(-len(edges) // SAMPLE)]
    alike = int((searched @ searched.T >= ALIKE).sum()) - len(searched)
    if alike * (len(edges) / len(searched)) ** 2 <= MOST_PAIRS:
        searched = edges
    reach = np.full(len(searched), np.sqrt(2 - 2 * ALIKE))
    number = components(np.stack(Cells(searched).within(searched, reach)[:2], axis=1), len(searched))
    large = np.flatnonzero(np.bincount(number) >= FEWEST)
    if not len(large):
        return []
    means = np.stack([searched[number == one].mean(axis=0) for one in large])
    likeness = edges @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    # A background stands apart; outlines of things of one kind, such as pullovers, are more or less alike.
    apart = (likeness >= UNLIKE_THE_MEAN).sum(axis=0) <= (1 + BETWEEN) * (likeness >= LIKE_THE_MEAN).sum(axis=0)
    likeness = np.where(apart, likeness, -1)
    nearest = np.where(likeness.max(axis=1) >= LIKE_THE_MEAN, likeness.argmax(axis=1), -1)
    inside = nearest >= 0
    firm, edges, nearest = firm[inside], edges[inside], nearest[inside]
    sides, own = (array.reshape(-1, 4, edges.shape[1] // 4) for array in (edges, means[nearest]))  # none, perhaps
    by_side = (sides * own).sum(axis=2) / np.maximum(np.linalg.norm(sides, axis=2) * np.linalg.norm(own, axis=2), 1e-6)
    on_three = np.sort(by_side, axis=1)[:, 1]
    sets = [np.flatnonzero(nearest == place) for place in range(len(large))]
    sets = [part for part in sets if len(part) >= FEWEST and np.median(on_three[part]) >= LIKE_ON_A_SIDE]
    return sorted((np.sort(rows[firm[part]]) for part in sets), key=lambda part: int(part[0]))
