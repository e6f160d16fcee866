"""Which of several identical pictures stays, and clusters of identical pictures that are no accident."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kit.base.arrays import IntArray
from kit.config.sections import CleanConfig


@dataclass(frozen=True)
class Verdict:
    """What happens to one cluster: the rows that stay, and per row that goes the reason."""

    stay: tuple[int, ...]
    go: tuple[tuple[int, str], ...]
    conflict: str


def judge(
    rows: IntArray, labels: IntArray, config: CleanConfig, pinned: frozenset[int], class_sizes: IntArray
) -> Verdict:
    """Decide about the ascending ``rows`` of one cluster of identical pictures.

    ``labels`` are of all rows, -1 = unlabeled: an unlabeled copy conflicts with nobody. Rows in ``pinned`` stay,
    because a person wants it, and their labels win. ``class_sizes``, images per class, break a tie between labels
    without looking at the order of the rows.
    """
    values, counts = np.unique(labels[rows][labels[rows] >= 0], return_counts=True)
    conflict = len(values) > 1
    allowed = _winners(values, counts, config, labels[[r for r in rows if r in pinned]], class_sizes)
    stay: list[int] = []
    go: list[tuple[int, str]] = []
    for label in np.unique(labels[rows]):
        same = [int(r) for r in rows if labels[r] == label]
        kept = [r for r in same if r in pinned]
        if label not in allowed and len(values) and (label >= 0 or not allowed):
            reason = "conflicting-label"
        elif config.exact == "drop-copies":
            kept, reason = kept or ([] if label < 0 and len(values) else same[:1]), "exact-copy"
        else:
            kept, reason = same, ""
        stay += kept
        go += [(r, reason) for r in same if r not in kept]
    told = ", ".join(f"label {v} x{c}" for v, c in zip(values, counts, strict=True)) if conflict else ""
    return Verdict(tuple(sorted(stay)), tuple(sorted(go)), told)


def _winners(
    values: IntArray, counts: IntArray, config: CleanConfig, pinned: IntArray, class_sizes: IntArray
) -> set[int]:
    if len(values) < 2 or config.conflicting == "keep":
        return {int(v) for v in values}
    if (pinned >= 0).any():
        return {int(v) for v in pinned if v >= 0}
    if config.conflicting == "drop":
        return set()
    return {max(zip(values, counts, strict=True), key=lambda vc: (vc[1], class_sizes[vc[0]], -vc[0]))[0].item()}


def spare(pairs: IntArray, rank: Callable[[int], tuple[bool, bytes]]) -> dict[int, int]:
    """Choose pictures that can go because a direct copy of each stays.

    ``pairs`` (P, 2) are rows that are near copies of each other, which is not transitive; ``rank`` tells whether a row
    may go at all, and its content, to break ties without looking at the order of the rows. Returns by row that goes the
    pair with one that stays. No two that stay are a pair (a greedy maximal independent set, those with most copies
    first), so that a second call finds nothing.
    """
    partners: dict[int, dict[int, int]] = {}
    for place, (one, other) in enumerate(pairs.tolist()):
        partners.setdefault(one, {})[other] = place
        partners.setdefault(other, {})[one] = place
    going: dict[int, int] = {}
    free = {row: rank(row) for row in partners}
    for row in sorted(partners, key=lambda row: (free[row][0], -len(partners[row]), free[row][1])):
        if row not in going:
            going.update({other: place for other, place in partners[row].items() if other not in going})
    return going


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
