"""What the steps of cleaning write their findings into, and which pictures are identical."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kit.base.arrays import ImageArray, IntArray
from kit.config.sections import CleanConfig
from kit.stages.clean.thumbnails import whole


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
    ``"drop"``, which goes before every rule, and ``frames`` (N, 4), the part of each image that is no padding.
    """

    def __init__(
        self,
        images: ImageArray,
        labels: IntArray,
        config: CleanConfig,
        overrides: Mapping[int, str],
        frames: IntArray | None = None,
    ) -> None:
        self.images, self.labels, self.config = images, labels, config
        self.frames = whole(images) if frames is None else frames
        # Equal exactly where all pixels are equal, by first row; a memmap is read one image at a time.
        seen: dict[bytes, int] = {}
        digests = (blake2b(image.tobytes(), digest_size=16).digest() for image in images)
        self.numbers = np.fromiter((seen.setdefault(digest, len(seen)) for digest in digests), np.int64, len(images))
        self.alive = np.ones(len(images), bool)
        self.dropped: list[Finding] = []
        self.noted: list[Finding] = []
        self.pinned = frozenset(row for row, action in overrides.items() if action == "keep")
        self._links: list[tuple[int, int]] = []
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

    def note(self, findings: Iterable[Finding]) -> None:
        """List findings that change nothing."""
        self.noted.extend(findings)

    def link(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Say that the rows of each pair must share a fold."""
        self._links.extend(pairs)

    def link_pictures(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Say that all rows in with the pictures of each pair must share a fold."""
        pairs = list(pairs)
        self.link(pairs)
        rows = self.rows
        first = dict(zip(self.numbers[self.pictures].tolist(), self.pictures.tolist(), strict=True))
        met = {self.numbers[row] for pair in pairs for row in pair}
        same = rows[np.isin(self.numbers[rows], list(met))].tolist()
        self.link((first[self.numbers[row]], row) for row in same)

    def groups(self) -> IntArray:
        """Number the connected components of the rows still in, (K,) int64, by first row."""
        rows = self.rows
        place = np.full(len(self.alive), -1)
        place[rows] = np.arange(len(rows))
        links = place[np.array(self._links, np.int64).reshape(-1, 2)]
        return components(links[(links >= 0).all(1)], len(rows))


def components(links: IntArray, n: int) -> IntArray:
    """Number the connected components of ``n`` points under ``links`` (L, 2), by first point."""
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(n, n))
    _, found = connected_components(graph, directed=False)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
