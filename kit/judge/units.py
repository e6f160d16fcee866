"""Rows that are drawn together: near copies and the images of one patient say less than as many independent rows.

What is drawn, and left out, is a unit: all rows of a group, or a row that has none. With one row a unit everything here
is the usual thing for independent rows.
"""

from typing import Any

import numpy as np

from kit.errors import DataError
from kit.judge.metrics import Array

BLOCK = 2_000_000  # numbers drawn at a time
LEFT_OUT = 100  # blocks of rows, of which each is left out where a score is slow to compute
LEAST_SCORED = 0.5  # share of draws that a function which fails on some has to have a score of


def units_of(groups: Any, rows: int) -> Array:
    """Return (N,) the unit of each row, from 0 on, from its group (N,), or None.

    An empty group, or a missing value as pandas has them, is that of no other row.

    Raises `DataError` where there are not as many groups as rows.
    """
    if groups is None:
        return np.arange(rows)
    groups = np.asarray(groups)
    if groups.dtype.kind in "Of":
        from kit.images.sources.classes import group_names  # with it come readers of images, and few groups are such

        groups = np.array(group_names(groups.ravel()), dtype=str).reshape(groups.shape)
    if groups.shape != (rows,):
        raise DataError(f"{rows} rows, but groups have shape {groups.shape}: expected ({rows},)")
    _, code = np.unique(groups, return_inverse=True)
    alone = groups == "" if groups.dtype.kind in "US" else np.zeros(rows, dtype=bool)
    return np.unique(np.where(alone, rows + np.arange(rows), code), return_inverse=True)[1]


def sums(values: Array, unit: Array | None) -> Array:
    """Return (..., U) sums of (..., N) values over the rows of each unit (N,), any whole numbers; None: of each row."""
    if unit is None or np.array_equal(unit, np.arange(len(unit))):
        return np.asarray(values, dtype=np.float64)
    unit = np.unique(unit, return_inverse=True)[1]
    whole = incidence(unit, np.arange(len(unit))) @ values.reshape(-1, len(unit)).T
    return np.asarray(whole.T.reshape(*values.shape[:-1], -1))


def mean_error(values: Array, unit: Array | None) -> Array:
    """Return the standard error of the mean of (..., N) values: that of the units' sums of what departs from it."""
    departures = sums(values - values.mean(axis=-1, keepdims=True), unit)
    units = departures.shape[-1]
    return np.asarray(np.sqrt((departures**2).sum(axis=-1) * units / max(units - 1, 1)) / values.shape[-1])


def incidence(unit: Array, column: Array) -> Any:
    """Return the sparse (U, K) counts of rows by unit (N,) and column (N,)."""
    from scipy import sparse  # every command and every unit imports this module, few have groups

    return sparse.csr_array((np.ones(len(unit)), (unit, column)))


def resampled_means(values: Array, unit: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Return (P, B) means of (P, N) values over resampled units.

    Units that agree in everything are drawn together where that is cheaper; blocks bound the memory.
    """
    totals, sizes = sums(values, unit), np.bincount(unit).astype(np.float64)
    distinct, counts = np.unique(np.vstack([totals, sizes]), axis=1, return_counts=True)
    drawn, draws = len(sizes), np.empty((len(values), resamples))
    few = 10 * len(counts) < drawn
    block = max(1, BLOCK // (len(counts) if few else drawn))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if few:
            *found, rows = distinct @ rng.multinomial(drawn, counts / drawn, size=size).T
        else:
            picks = rng.integers(drawn, size=(size, drawn), dtype=np.int32)
            rows = sizes[picks].sum(axis=1) if sizes.max() > 1 else drawn
            found = [row[picks].sum(axis=1) for row in totals]
        draws[:, start : start + size] = np.asarray(found) / rows
    return draws


def resampled_counts(cell: Array, unit: Array, rng: np.random.Generator, resamples: int, block: int) -> Any:
    """Yield, in blocks of at most ``block`` resamples, (b, K) how many rows fall into each cell (N,), from 0 on."""
    sizes, cells = np.bincount(unit), int(cell.max()) + 1
    kind = np.empty(len(sizes), dtype=np.int64)
    kind[unit] = np.where(sizes[unit] == 1, cell, cells + unit)
    _, first, counts = np.unique(kind, return_index=True, return_counts=True)
    parts = incidence(unit, cell).T.tocsr()[:, first]
    block = max(1, min(block, BLOCK // len(counts)))
    for start in range(0, resamples, block):
        times = rng.multinomial(len(sizes), counts / len(sizes), size=min(block, resamples - start))
        yield (parts @ times.T.astype(np.float64)).T
