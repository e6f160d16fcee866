"""What the steps of cleaning write their findings into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kit.clean.finding import Finding


class Draft:
    """The plan while it is being made: which rows are still in, what was found, which rows belong together.

    Parameters
    ----------
    n : int
        Raw images.
    overrides : mapping of int to str
        Row to ``"keep"`` or ``"drop"``: a person's word, which goes before every rule.
    """

    def __init__(self, n: int, overrides: Mapping[int, str]) -> None:
        self.alive = np.ones(n, bool)
        self.dropped: list[Finding] = []
        self.noted: list[Finding] = []
        self.pinned = frozenset(row for row, action in overrides.items() if action == "keep")
        self._links: list[tuple[int, int]] = []
        for row in sorted(set(overrides) - self.pinned):
            self.drop(Finding(row, "user"))

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows still in, ascending."""
        return np.flatnonzero(self.alive)

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

    def groups(self) -> NDArray[np.int64]:
        """Number the connected components of the rows still in, (K,) int64, by first row."""
        rows = self.rows
        place = np.full(len(self.alive), -1)
        place[rows] = np.arange(len(rows))
        links = place[np.array(self._links, np.int64).reshape(-1, 2)]
        return components(links[(links >= 0).all(1)], len(rows))


def components(links: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Number the connected components of ``n`` points under ``links`` (L, 2), by first point."""
    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(n, n))
    _, found = connected_components(graph, directed=False)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
