"""The search for neighbours against brute force."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.stages.clean import near
from kit.stages.clean.near import Cells


def clustered(n, seed):
    """Vectors of length one near few centres, some of them equal, in an order that says nothing."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((5, 6))[rng.integers(0, 5, n)] + rng.standard_normal((n, 6)) * rng.choice([0, 0.1, 1])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def distances(one, other):
    return np.linalg.norm(one[:, None].astype(float) - other, axis=2)


@pytest.mark.parametrize(("cell", "block"), [(256, 8192), (30, 7)])
def test_few_cells_find_what_brute_force_finds(cell, block, monkeypatch):
    monkeypatch.setattr(near, "CELL", cell)
    monkeypatch.setattr(near, "BLOCK", block)

    @settings(max_examples=25)
    @given(st.integers(1, 100), st.integers(0, 40), st.integers(0, 10**6), st.floats(0.01, 1.5))
    def law(n, asked, seed, reach):
        vectors, queries = clustered(n, seed), clustered(asked, seed + 1)
        cells = Cells(vectors)
        one, other, far = cells.within(queries, np.full(asked, reach))
        expected = distances(queries, vectors)
        close = np.abs(expected - reach) < 1e-3  # float32 may put these on either side
        found = np.zeros((asked, n), bool)
        found[one, other] = True
        assert (found == (expected < reach))[~close].all() and found.sum() == len(one)
        assert np.allclose(far, expected[one, other], atol=2e-3)
        own = distances(vectors, vectors)
        np.fill_diagonal(own, np.inf)
        ordered = np.sort(own, axis=1)
        ordered[np.isinf(ordered)] = 9.0
        ranked = np.concatenate([ordered, np.full((n, 8), 9.0)], axis=1)[:, [1, 3]]
        assert np.allclose(cells.scale((2, 4), 9.0), ranked, atol=2e-3)

    law()


def test_of_many_cells_a_few_are_enough_for_vectors_that_are_close(monkeypatch):
    monkeypatch.setattr(near, "CELL", 20)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2000, 10)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    moved = vectors + 0.02 * rng.standard_normal(vectors.shape).astype(np.float32)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    one, other, _ = Cells(vectors).within(moved, np.full(2000, 0.2))
    assert (one == other).sum() >= 1990


def test_memory_does_not_grow_with_the_number_of_cells(monkeypatch):
    monkeypatch.setattr(near, "BLOCK", 64)
    monkeypatch.setattr(near, "CELL", 8)
    vectors = np.random.default_rng(0).uniform(0, 0.1, (4000, 8)).astype(np.float32)  # none is near another
    tracemalloc.start()
    Cells(vectors).within(vectors, np.zeros(len(vectors)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4e6  # a number for each vector and each of 500 cells would have 16 MB
