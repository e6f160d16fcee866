"""Clusters of identical pictures that are no accident."""

from collections.abc import Sequence

import numpy as np

from kit.base.arrays import IntArray

# A handful of copies is a mishap of whoever collected the data; ten copies, five times what the other
# duplicated pictures have, is not. Relative to the rest: a class over-sampled twenty times is left alone.
FEWEST_COPIES = 10
TIMES_THE_REST = 5


def contaminated(clusters: Sequence[IntArray], labels: IntArray) -> list[tuple[IntArray, str]]:
    """Find the clusters to be dropped whole, with the evidence, in the order given.

    A cluster is the rows of identical pictures, at least two; ``labels`` are of all rows, -1 = unlabeled. Repeated
    until the rest shows none, so that a second call on what is left finds nothing.
    """
    found: dict[int, str] = {}
    while True:
        rest, new = [k for k in range(len(clusters)) if k not in found], dict[int, str]()
        sizes = np.array([len(clusters[k]) for k in rest])
        for place, k in enumerate(rest):
            size, others = int(sizes[place]), np.delete(sizes, place)
            typical = float(np.median(others)) if len(others) else 1.0
            given = labels[clusters[k]]
            _, counts = np.unique(given[given >= 0], return_counts=True)
            if size >= max(FEWEST_COPIES, TIMES_THE_REST * typical):
                new[k] = f"{size} copies, other duplicated pictures have {typical:g}"
            elif len(counts) >= 3 and 2 * counts.max() <= counts.sum():
                # Three labels or more and none with a majority: no label can be right for such a picture.
                new[k] = f"{size} copies under {len(counts)} labels"
        if not new:
            return [(clusters[k], found[k]) for k in sorted(found)]
        found |= new
