"""What the steps of cleaning write their findings into, which pictures are identical, and which of those stay."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kit.base.arrays import ImageArray, IntArray
from kit.config.sections import CleanConfig
from kit.stages.clean.measured import Measured, measure

PREFIX = 1 << 14  # bytes of a picture


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an image was dropped, grouped or listed."""

    row: int  # of the raw array
    reason: str  # a word that can be counted: exact-copy, contamination, near-copy ...
    twin: int = -1  # the raw row that is the evidence, -1 where there is none
    detail: str = ""  # the evidence in figures


class Draft:
    """The plan while it is being made: which rows are still in, what was found, which rows belong together.

    Made of images (N, H, W, 3) uint8, labels (N,) int64, ``overrides``, a person's word by row, ``"keep"`` or
    ``"drop"``, which goes before every rule, and what was ``measured`` of the images.
    """

    def __init__(
        self,
        images: ImageArray,
        labels: IntArray,
        config: CleanConfig,
        overrides: Mapping[int, str],
        measured: Measured | None = None,
    ) -> None:
        self.images, self.labels, self.config = images, labels, config
        self.measured = measured or measure(images)
        # Equal exactly where all pixels are equal, by first row.
        seen: dict[bytes, int] = {}
        digests = (digest.tobytes() for digest in self.measured.pixels)
        self.numbers = np.fromiter((seen.setdefault(digest, len(seen)) for digest in digests), np.int64, len(images))
        self.alive = np.ones(len(images), bool)
        self.dropped: list[Finding] = []
        self.noted: list[Finding] = []  # what changes nothing
        self.pinned = frozenset(row for row, action in overrides.items() if action == "keep")
        self.links: list[tuple[int, int]] = []  # the rows of each pair must share a fold
        for row in sorted(set(overrides) - self.pinned):
            self.drop(Finding(row, "user"))

    @property
    def rows(self) -> IntArray:
        """The rows still in, ascending."""
        return np.flatnonzero(self.alive)

    @property
    def pictures(self) -> IntArray:
        """The first row still in of every distinct picture, ascending."""
        rows = self.rows
        return np.sort(rows[np.unique(self.numbers[rows], return_index=True)[1]])

    def clusters(self) -> list[IntArray]:
        """The rows still in of each picture that several of them show, ascending, by first row."""
        rows, numbers = self.rows, self.numbers[self.rows]
        order = np.argsort(numbers, kind="stable")
        parts = np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)
        return sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))

    def alike(self, row: int) -> list[int]:
        """The rows still in that show the picture of ``row``."""
        rows: list[int] = self.rows[self.numbers[self.rows] == self.numbers[row]].tolist()
        return rows

    def content(self, row: int) -> bytes:
        """The pixels of a row to break ties by, of large pictures the first of them."""
        return bytes(self.images[row].tobytes()[:PREFIX] + self.measured.pixels[row].tobytes())

    def given(self, rows: IntArray) -> list[frozenset[int]]:
        """For each of ``rows`` all labels, -1 = none, under which its picture is still in."""
        met = dict.fromkeys(self.numbers[rows].tolist(), frozenset[int]())
        for number, label in zip(self.numbers[self.rows].tolist(), self.labels[self.rows].tolist(), strict=True):
            if number in met:
                met[number] |= {label}
        return [met[number] for number in self.numbers[rows].tolist()]

    def drop(self, finding: Finding) -> None:
        """Take a row out, unless a person pinned it: then the finding is only noted."""
        if finding.row in self.pinned:
            self.noted.append(finding)
            return
        self.alive[finding.row] = False
        self.dropped.append(finding)

    def link_pictures(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Say that all rows in with the pictures of each pair must share a fold."""
        pairs = list(pairs)
        rows = self.rows
        first = dict(zip(self.numbers[self.pictures].tolist(), self.pictures.tolist(), strict=True))
        met = {self.numbers[row] for pair in pairs for row in pair}
        same = rows[np.isin(self.numbers[rows], list(met))].tolist()
        self.links += [*pairs, *((first[self.numbers[row]], row) for row in same)]

    def groups(self) -> IntArray:
        """Number the connected components of the rows still in, (K,) int64, by first row."""
        rows = self.rows
        place = np.full(len(self.alive), -1)
        place[rows] = np.arange(len(rows))
        links = place[np.array(self.links, np.int64).reshape(-1, 2)]
        return components(links[(links >= 0).all(1)], len(rows))


def components(links: IntArray, n: int) -> IntArray:
    """Number the connected components of ``n`` points under ``links`` (L, 2), by first point."""
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(n, n))
    _, found = connected_components(graph, directed=False)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


class Verdict(NamedTuple):
    """What happens to one cluster: the rows that stay, and per row that goes the reason."""

    stay: tuple[int, ...]
    go: tuple[tuple[int, str], ...]
    conflict: str


def judge(
    rows: IntArray, labels: IntArray, config: CleanConfig, pinned: frozenset[int], class_sizes: IntArray
) -> Verdict:
    """Decide about the ascending ``rows`` of one cluster of identical pictures.

    ``labels`` are of all rows, -1 = unlabeled: an unlabeled copy conflicts with nobody. Rows in ``pinned`` stay, and
    their labels win. ``class_sizes``, images per class, break a tie between labels, whatever the order of the rows.
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

    ``pairs`` (P, 2) are rows that are near copies, which is not transitive; ``rank`` tells whether a row may go at all,
    and its content, to break ties whatever the order of the rows. Returns by row that goes the pair with one that
    stays: of these no two are a pair (a greedy maximal independent set, most copies first), a second call finds none.
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
    """Find the clusters of identical pictures to be dropped whole, with the evidence, in the order given.

    ``labels`` are of all rows, -1 = unlabeled. Repeated until the rest shows none, so that a second call finds nothing.
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
