"""Near copies: flips, turns, re-compression, brightness, contrast, small crops and shifts."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import FloatArray, ImageArray, IntArray
from kit.stages.clean.measured import Measured, measure
from kit.stages.clean.thumbnails import FORMS, LOW, agreement, dihedral, grey, turned

# Vectors to a cell, and cells that each query looks into. Planted copies are within 4 cells, but for some crops
# of 2 px, and those are looked for from either side.
CELL, PROBES = 256, 4
# Rows compared with a cell in one go: 16 MB of cosines.
BLOCK, MOST_COSINES = 8192, 1 << 22

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
        size = max(1, min(BLOCK, MOST_COSINES // max(len(self.centres), 1)))
        return (queries[start : start + size] @ self.centres.T for start in range(0, len(queries), size))

    def _compared(self, queries: Vectors) -> Iterator[tuple[IntArray, IntArray, IntArray, Vectors]]:
        """Numbers of queries, the rank of the probe that each makes here, numbers of members of a cell, cosines."""
        # Copied, because a view of the first columns keeps all of them.
        blocks = (
            np.argpartition(-block, self.probes - 1, axis=1)[:, : self.probes].copy()
            for block in self._of_centres(queries)
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


# What is usual in a set is the distance to the eighth neighbour, so up to eight copies of one picture do not hide each
# other, and its growth from the fourth to the eighth, from which the copies of up to four are absent.
HALF, FULL = 4, 8
GROWTH = sum(1 / rank for rank in range(HALF, FULL))
# A picture with more copies than that has only copies near it: no scale is taken to be smaller than this quantile.
LEAST_SCALE = 0.01
# Pairs of different pictures expected in the whole set that are as near as the farthest copy, before their pixels
# are compared; and the same where more must be certain.
CHANCE, SMALL_CHANCE = 10.0, 0.1
# Nearer than this to one another than to others, whatever the number of pictures: also in a set of a dozen.
FARTHEST = 0.6
UNRELATED = 1.0
# Pixels are compared at three quarters of their size, where compression noise is averaged out. Planted copies
# of most kinds reach both (`benchmarks/clean_sets.py`), different blood cells 0.95 and 0.63 but never both.
OVERALL, DETAIL = 0.90, 0.80
SMALLEST_SIDE, LARGEST_SIDE = 16, 32
LEAST = 1e-6
BATCH = 1024
THREADS = min(4, os.cpu_count() or 1)
INVERSE = np.array([0, 1, 2, 3, 4, 6, 5, 7])  # the form that takes each of `FORMS` back


@dataclass(frozen=True)
class NearCopies:
    """Verified pairs."""

    pairs: IntArray  # (P, 2) rows, the smaller first, sorted, without repetition
    form: IntArray  # (P,) the symmetry of `thumbnails.FORMS` that takes one to the other
    overall: FloatArray  # (P,) share of the variance of one explained by the other after alignment
    detail: FloatArray  # (P,) correlation of the fine detail after alignment
    chance: FloatArray  # (P,) how many pairs of different pictures of the set are expected to be as near

    def told(self, place: int) -> str:
        """The evidence for one pair in words."""
        form = FORMS[self.form[place]]
        return f"{form}, {self.overall[place]:.3f} overall, {self.detail[place]:.3f} in the detail"

    def take(self, places: IntArray) -> "NearCopies":
        """Only the pairs at ``places``."""
        scores = (field[places] for field in (self.overall, self.detail, self.chance))
        return NearCopies(self.pairs[places], self.form[places], *scores)


def near_copies(images: ImageArray, rows: IntArray, measured: Measured | None = None) -> NearCopies:
    """Find the pairs of near copies among ``rows`` (K,), no two identical, of ``images`` (N, H, W, 3), read in blocks.

    ``measured`` is what was measured of all images, where it was.

    A pair is a candidate if the low frequencies of one of the eight symmetries of the one are much nearer to those of
    the other than pictures of this set usually are. A candidate is a copy if, aligned for shift and zoom and up to
    brightness and contrast, both the whole picture and its fine detail agree. Grey values only: a colour cast hides
    no copy. The order of the rows changes nothing, because the pictures are compared in an order of their own.
    """
    if len(rows) < 2:
        return NearCopies(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), *np.zeros((3, 0)))
    measured = measured or measure(images)
    frames, low = measured.frames, measured.low[rows].reshape(len(rows), -1)
    order = np.argsort(np.ascontiguousarray(low).view(f"V{low.itemsize * low.shape[1]}").ravel())
    ones, others, form, chance = _candidates(low[order].reshape(-1, LOW, LOW))
    ones, others = rows[order[ones]], rows[order[others]]
    scores = _scores(images, frames, ones, others, form)
    found = NearCopies(np.sort(np.stack([ones, others], axis=1), axis=1), form, scores[:, 0], scores[:, 1], chance)
    found = found.take(np.flatnonzero((scores >= (OVERALL, DETAIL)).all(axis=1)))
    # One entry per pair, the one with the best overall agreement.
    found = found.take(np.lexsort((found.form, -found.overall)))
    return found.take(np.unique(found.pairs, axis=0, return_index=True)[1])


def _candidates(low: NDArray[np.float32]) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Numbers of the pictures (P,) of each pair worth looking at, the form of the first that is like the second, and
    the number of pairs of different pictures expected to be as near.

    Where different pictures have a local density in m dimensions, the share of them whose nearest is within a
    fraction t of the distance to the k-th neighbour is k t ** m. The m of the set follows from how the distance grows
    with the rank (Levina and Bickel 2004), and t from the number of false pairs allowed (an a-contrario bound:
    Desolneux, Moisan and Morel 2000).
    """
    n = len(low)
    cells = Cells(unit_vectors(low))
    half, full = cells.scale((HALF, FULL), UNRELATED).T
    dimensions = GROWTH / max(float(np.median(np.log(np.maximum(full, LEAST) / np.maximum(half, LEAST)))), LEAST)
    scale = np.maximum(full, max(float(np.quantile(full, LEAST_SCALE)), LEAST))
    bound = min(FARTHEST, (CHANCE / (n * FULL * len(FORMS))) ** (1 / dimensions))

    def search(form: int) -> tuple[IntArray, IntArray, FloatArray]:
        ones, others, far = cells.within(unit_vectors(turned(low, form)), bound * scale)
        near = far / np.minimum(scale[ones], scale[others])
        # Of what is nearer than the least scale there may be much.
        order = np.lexsort((near, ones))
        rank = np.arange(len(order)) - np.searchsorted(ones[order], ones[order])
        good = order[rank <= FULL]
        good = good[(ones[good] != others[good]) & (near[good] < bound)]
        return ones[good], others[good], near[good]

    # NumPy lets go of the interpreter in the large operations.
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(search, range(len(FORMS))))
    ones, others, near = (np.concatenate(part) for part in zip(*found, strict=True))
    form = np.repeat(np.arange(len(FORMS)), [len(part[0]) for part in found])
    # A pair that was found from either side is compared once.
    pairs = np.where(ones < others, (ones, others, form), (others, ones, INVERSE[form]))
    (ones, others, form), first = np.unique(pairs, axis=1, return_index=True)
    return ones, others, form, n * FULL * len(FORMS) * near[first] ** dimensions


def unit_vectors(low: NDArray[np.float32]) -> NDArray[np.float32]:
    """Low frequencies without the mean, scaled to length one, (N, 63); a flat picture is at 0, far from all."""
    flat = low.reshape(len(low), LOW * LOW)[:, 1:]
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), LEAST))


def _scores(
    images: ImageArray, frames: IntArray, ones: IntArray, others: IntArray, form: IntArray
) -> NDArray[np.float64]:
    """Overall agreement and agreement of the detail of every candidate, (P, 2) float64: of the one moved onto the
    other, or the other way round, whichever is better overall."""
    side = int(np.clip(3 * min(images.shape[1:3]) // 4, SMALLEST_SIDE, LARGEST_SIDE))
    found = np.empty((len(ones), 2))
    for start in range(0, len(ones), BATCH):
        block = slice(start, start + BATCH)
        left, right = (grey(images[rows[block]], frames[rows[block]], side) for rows in (ones, others))
        for number in range(len(FORMS)):
            same = form[block] == number
            left[same] = dihedral(left[same], number)
        there, back = agreement(left, right), agreement(right, left)
        found[block] = np.where(there[:, :1] >= back[:, :1], there, back)
    return found
