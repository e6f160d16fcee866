"""All pairs of 64-bit words within a Hamming radius, without looking at all pairs."""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray

BANDS = 4
BITS = 16
# Words looked at in one go: about 100 MB of temporary arrays, whatever the data.
LIMIT = 2_000_000

Words = NDArray[np.uint64]
Pairs = tuple[IntArray, IntArray]

_ONES = np.array([bin(value).count("1") for value in range(1 << BITS)], np.uint8)


def popcount(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Set bits of every word, uint8 of the same shape; NumPy 1.26 has no ``bitwise_count``."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(words), np.uint8)
    return table_popcount(words)


def table_popcount(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Set bits of every word by a table of 16-bit halves."""
    parts = np.ascontiguousarray(words)[..., None].view(np.uint16)
    return np.asarray(_ONES[parts].sum(axis=-1, dtype=np.uint8))


def within(
    queries: Words, words: Words, radius: int, wanted: Callable[[IntArray, IntArray], NDArray[np.bool_]] | None = None
) -> Pairs:
    """Find every (query, word) pair at most ``radius`` bits apart, 0 to 64; fast up to about 10.

    Returns the numbers of the queries and of the words, (P,) each, sorted by query, then word, without repetition.
    ``wanted`` says of such numbers which pairs to return: so pairs nobody needs are forgotten block by block.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012) with the general pigeonhole principle (Qin et al. 2018):
    the words are cut into four bands with radii t such that the sum of t + 1 is radius + 1; two words within the
    radius agree within t in at least one band. Each band is a table of its 65,536 values, asked for all values
    within t of the query's. Exact; memory is bounded by blocks.
    """
    few = len(queries) * len(words) <= LIMIT
    found = [np.empty(0, np.int64)]
    # Each query with each word is quicker than tables for a few thousand.
    blocks = [np.nonzero(popcount(queries[:, None] ^ words) <= radius)] if few else _by_bands(queries, words, radius)
    for one, other in blocks:
        good = slice(None) if wanted is None else wanted(one, other)
        found.append(one[good] * len(words) + other[good])
    pairs = np.unique(np.concatenate(found))
    return pairs // max(len(words), 1), pairs % max(len(words), 1)


def _by_bands(queries: Words, words: Words, radius: int) -> Iterator[Pairs]:
    for band in range(BANDS):
        reach = (radius + BANDS - band) // BANDS - 1
        # Both sides in the order of the band's value: neighbours in memory are asked for together.
        order, asked = (np.argsort(_band(side, band), kind="stable") for side in (words, queries))
        listed, asking = words[order], queries[asked]
        starts = np.searchsorted(_band(listed, band), np.arange((1 << BITS) + 1))
        flips = (places for count in range(reach + 1) for places in combinations(range(BITS), count))
        for mask in (np.uint16(sum(1 << place for place in places)) for places in flips):
            probes = (_band(asking, band) ^ mask).astype(np.int64)
            for query, place in _expanded(starts[probes], starts[probes + 1]):
                near = popcount(asking[query] ^ listed[place]) <= radius
                yield asked[query[near]], order[place[near]]


def _band(words: NDArray[np.uint64], band: int) -> NDArray[np.uint16]:
    return (words >> np.uint64(BITS * band)).astype(np.uint16)


def _expanded(starts: IntArray, stops: IntArray) -> Iterator[Pairs]:
    """Write out the ranges of each query, ``LIMIT`` items at a time (more only where one query has more)."""
    asked = np.flatnonzero(stops > starts)
    ends = np.cumsum((stops - starts)[asked])
    first = 0
    while first < len(asked):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + LIMIT, side="right")))
        query = asked[first:last]
        sizes = stops[query] - starts[query]
        offsets = np.repeat(starts[query] - (np.cumsum(sizes) - sizes), sizes)
        yield np.repeat(query, sizes), offsets + np.arange(len(offsets))
        first = last
