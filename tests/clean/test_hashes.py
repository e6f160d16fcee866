"""The perceptual hash against ImageHash, and the exact search against brute force."""

from __future__ import annotations

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.stages.clean import hamming
from kit.stages.clean.hamming import popcount, table_popcount, within
from kit.stages.clean.hashes import BIT_ORDER, FORMS, dct_hash, dihedral, grey, low_frequencies, turned


def smooth(n, side, seed=0):
    """Pictures with large shapes, as photographs have them."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side), Image.BICUBIC)) for c in coarse])


def bits(words):
    return np.unpackbits(words.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1).astype(bool)


@pytest.mark.parametrize(("side", "bits_off"), [(32, 0), (96, 2), (50, 2), (20, 2)])
def test_the_hash_is_that_of_imagehash(side, bits_off):
    images = smooth(40, side)
    # ImageHash rounds the luma to whole numbers; so does this, to compare like with like.
    luma = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    ours = bits(dct_hash(low_frequencies(np.repeat(luma[..., None], 3, axis=3), np.arange(40))))
    theirs = np.stack([imagehash.phash(Image.fromarray(one)).hash.ravel()[BIT_ORDER] for one in luma])
    assert (ours != theirs).sum(axis=1).max() <= bits_off


@pytest.mark.parametrize("form", range(len(FORMS)))
@pytest.mark.parametrize("side", [8, 32, 45])
def test_coefficients_of_a_turned_picture_follow_from_the_picture(form, side):
    images = smooth(5, side)
    moved = dihedral(images.transpose(0, 3, 1, 2), form).transpose(0, 2, 3, 1)
    expected = low_frequencies(np.ascontiguousarray(moved), np.arange(5))
    assert np.allclose(turned(low_frequencies(images, np.arange(5)), form), expected, atol=0.05)


def test_the_eight_forms_are_the_symmetries_of_a_square():
    square = np.arange(9).reshape(3, 3)
    found = {dihedral(square, form).tobytes() for form in range(8)}
    expected = {np.ascontiguousarray(np.rot90(side, k)).tobytes() for side in (square, square.T) for k in range(4)}
    assert found == expected
    named = {name: dihedral(square, form) for form, name in enumerate(FORMS)}
    assert (named["mirrored"] == np.fliplr(square)).all()
    assert (named["upside down"] == np.flipud(square)).all()
    assert (named["turned by 90 degrees"] == np.rot90(square, -1)).all()
    assert (named["turned by 180 degrees"] == np.rot90(square, 2)).all()
    assert (named["turned by 270 degrees"] == np.rot90(square)).all()
    assert (named["transposed"] == square.T).all()


def test_grey_is_the_luma_of_pillow_within_rounding():
    images = smooth(3, 96)
    for image, found in zip(images, grey(images), strict=True):
        expected = np.asarray(Image.fromarray(image).convert("L").resize((32, 32), Image.LANCZOS))
        assert np.abs(found - expected).max() < 1.5


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_both_ways_of_counting_bits_agree_with_python(values):
    words = np.array(values, np.uint64)
    expected = [value.bit_count() for value in values]
    assert popcount(words).tolist() == expected
    assert table_popcount(words).tolist() == expected
    assert table_popcount(words[:, None] ^ words[:0]).shape == (len(values), 0)


@st.composite
def clustered_words(draw):
    """Words of few centres with some bits changed: many pairs near the radius."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = rng.integers(0, 2**63, 4, dtype=np.uint64)
    n = draw(st.integers(0, 80))
    flips = rng.random((n, 64)) < draw(st.floats(0, 0.15))
    changed = np.packbits(flips, axis=1).view(">u8")[:, 0].astype(np.uint64) if n else centres[:0]
    return centres[rng.integers(0, 4, n)] ^ changed


@pytest.mark.parametrize("limit", [0, 7, 10**9])
def test_the_search_finds_exactly_the_pairs_within_the_radius(limit, monkeypatch):
    monkeypatch.setattr(hamming, "LIMIT", limit)

    @settings(max_examples=25)
    @given(clustered_words(), clustered_words(), st.sampled_from([0, 1, 2, 3, 5, 8, 10]))
    def law(queries, words, radius):
        distances = np.array([[(int(q) ^ int(w)).bit_count() for w in words] for q in queries])
        expected = np.argwhere(distances.reshape(len(queries), len(words)) <= radius)
        found = np.stack(within(queries, words, radius), axis=1)
        assert found.tolist() == expected.tolist()

    law()


def test_only_wanted_pairs_are_returned():
    words = np.array([0, 1, 3], np.uint64)
    left, right = within(words, words, 1, lambda query, word: query < word)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (1, 2)]
