"""The nearest of many vectors, without comparing all with all."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray

# Vectors to a cell, and cells that each query looks into. Planted copies are within 4 cells, but for some crops
# of 2 px, and those are looked for from either side.
CELL, PROBES = 256, 4
# Rows compared with a cell in one go: 16 MB of cosines.
BLOCK = 8192

Vectors = NDArray[np.float32]


class Cells:
    """Vectors of length one (N, D), each in the cell of the nearest of some of them.

    Approximate nearest neighbours by an inverted file (Jegou, Douze and Schmid 2011): a query is compared with the
    members of the nearest `PROBES` cells only, so that work grows with the number of vectors, not of pairs. Exact
    where there are no more cells than that. The centres are every `CELL`-th vector: the order of the vectors must
    be one that says nothing about them.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self.centres = vectors, vectors[::CELL]
        self.probes = min(PROBES, len(self.centres))
        cell = np.concatenate([block.argmax(axis=1) for block in self._of_centres(vectors)])
        self.members = np.split(
            np.argsort(cell, kind="stable"), np.bincount(cell, minlength=len(self.centres)).cumsum()[:-1]
        )

    def scale(self, ranks: tuple[int, ...], otherwise: float) -> NDArray[np.float64]:
        """Distance of each vector to its neighbours of ``ranks`` (from 1, ascending), (N, len(ranks)); ``otherwise``
        where there are not that many."""
        most = ranks[-1]
        found = np.full((len(self.vectors), self.probes, most), -1, np.float32)
        for queries, probe, members, cosines in self._compared(self.vectors):
            cosines[queries[:, None] == members] = -1
            some = min(most, len(members))
            found[queries, probe, :some] = np.partition(cosines, len(members) - some, axis=1)[:, -some:]
        ordered = -np.sort(-found.reshape(len(found), -1), axis=1)[:, [rank - 1 for rank in ranks]]
        return np.where(ordered > -1, distance(ordered), otherwise)

    def within(self, queries: Vectors, reach: NDArray[np.float64]) -> tuple[IntArray, IntArray, NDArray[np.float64]]:
        """All pairs of a query (M, D) and a vector nearer than the query's ``reach`` (M,): their numbers (P,) and
        distances (P,)."""
        least = (1 - reach**2 / 2).astype(np.float32)
        found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
        for asked, _, members, cosines in self._compared(queries):
            places = np.flatnonzero(cosines > least[asked, None])
            one, other = np.divmod(places, max(len(members), 1))
            found.append((asked[one], members[other], distance(cosines.ravel()[places])))
        left, right, far = (np.concatenate(part) for part in zip(*found, strict=True))
        return left, right, far

    def _of_centres(self, queries: Vectors) -> Iterator[Vectors]:
        return (queries[start : start + BLOCK] @ self.centres.T for start in range(0, len(queries), BLOCK))

    def _compared(self, queries: Vectors) -> Iterator[tuple[IntArray, IntArray, IntArray, Vectors]]:
        """Numbers of queries, the rank of the probe that each makes here, numbers of members of a cell, cosines."""
        blocks = (
            np.argpartition(-block, self.probes - 1, axis=1)[:, : self.probes] for block in self._of_centres(queries)
        )
        cell = np.concatenate([np.zeros((0, self.probes), np.int64), *blocks]).ravel()
        asking = np.split(np.argsort(cell, kind="stable"), np.bincount(cell, minlength=len(self.centres)).cumsum()[:-1])
        for members, places in zip(self.members, asking, strict=True):
            for start in range(0, len(places) if len(members) else 0, BLOCK):
                asked, probe = np.divmod(places[start : start + BLOCK], self.probes)
                yield asked, probe, members, queries[asked] @ self.vectors[members].T


def distance(cosines: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean distance of vectors of length one by their cosine."""
    return np.sqrt(np.maximum(2 - 2 * cosines.astype(np.float64), 0))
