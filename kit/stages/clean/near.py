"""Near copies: flips, turns, re-compression, brightness, contrast, small crops and shifts."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import ImageArray, IntArray
from kit.errors import DataError
from kit.stages.clean.align import agreement
from kit.stages.clean.hamming import within
from kit.stages.clean.hashes import FORMS, LOW, dct_hash, dihedral, grey, low_frequencies, turned

# The thresholds stand in the gaps measured on 12,000 blood cells with 160 planted near copies
# (`benchmarks/clean_blood.py --gaps`): 2 px crops of 96 px are up to 10 bits away; the worst planted copy reaches
# 0.975 and 0.87, the best pair of different cells 0.948 and 0.70, never both at once.
RADIUS = 10
OVERALL = 0.957
DETAIL = 0.70
# A pair whose 63 lowest frequencies correlate less is not worth resizing; planted copies do by 0.98 or more.
ROUGH = 0.95
# Compared at three quarters of their size, where compression noise is averaged out: of 32 px practice pictures
# compressed with quality 60 the worst reaches 0.978 and 0.89 at 24 px, but 0.938 and 0.63 at 32 px.
SMALLEST_SIDE, LARGEST_SIDE = 16, 32
# Smaller pictures have not enough detail to tell a copy from another of the same class (8 px digits).
SMALL_OVERALL = 0.99
# 3 million candidates take two minutes; data without a common scene have fewer pairs than pictures.
SAMPLE, MOST_CANDIDATES = 512, 3e6
BATCH = 1024
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class NearCopies:
    """Verified pairs."""

    pairs: IntArray  # (P, 2) rows, the smaller first, sorted, without repetition
    form: IntArray  # (P,) the symmetry of `hashes.FORMS` that takes one to the other
    overall: NDArray[np.float64]  # (P,) share of the variance of one explained by the other after alignment
    detail: NDArray[np.float64]  # (P,) correlation of the fine detail after alignment

    def told(self, place: int) -> str:
        """The evidence for one pair in words."""
        form = FORMS[self.form[place]]
        return f"{form}, {self.overall[place]:.3f} overall, {self.detail[place]:.3f} in the detail"


def near_copies(images: ImageArray, rows: IntArray) -> NearCopies:
    """Find the pairs of near copies among ``rows`` (K,), no two identical, of ``images`` (N, H, W, 3), read in blocks.

    A pair is a candidate if the hash of one of the eight symmetries of the one lies within `RADIUS` of the hash
    of the other; the search is exact. A candidate is a copy if, aligned for shift and zoom and up to brightness
    and contrast, both the whole picture and its fine detail agree. Grey values only: a colour cast hides no copy.

    Raises `DataError` if the pictures are so alike (a fixed camera, a film) that millions of pairs pass for copies.
    """
    low = low_frequencies(images, rows)
    sample = _units(low[content_sample(dct_hash(low), SAMPLE)])
    alike = float((sample @ sample.T >= ROUGH).sum() - len(sample)) / max(len(sample) * (len(sample) - 1), 1)
    expected = alike * len(low) * (len(low) - 1) / 2
    if expected > MOST_CANDIDATES:
        what = f"{len(low)} images are so similar that about {expected:.1g} pairs would count as near copies"
        raise DataError(what, '[clean] near = "off", and [data] group = the column of the camera or the film')
    left, right, form = _candidates(low)
    scores = _scores(images, rows[left], rows[right], form)
    least = OVERALL if min(images.shape[1:3]) >= SMALLEST_SIDE else SMALL_OVERALL
    good = np.flatnonzero((scores[:, 0] >= least) & (scores[:, 1] >= DETAIL))
    pairs = np.sort(np.stack([rows[left[good]], rows[right[good]]], axis=1), axis=1)
    form, overall, fine = form[good], scores[good, 0], scores[good, 1]
    # One entry per pair, the one with the best overall agreement.
    order = np.lexsort((form, -overall, pairs[:, 1], pairs[:, 0]))
    best = order[np.unique(pairs[order], axis=0, return_index=True)[1]]
    return NearCopies(pairs[best], form[best], overall[best], fine[best])


def content_sample(words: NDArray[np.uint64], n: int) -> IntArray:
    """At most ``n`` numbers chosen by the hashes alone, whatever the order of the rows."""
    return np.argsort(words * np.uint64(0x9E3779B97F4A7C15), kind="stable")[:n]


def _candidates(low: NDArray[np.float32]) -> tuple[IntArray, IntArray, IntArray]:
    """Left and right numbers and forms of the pairs worth looking at, each symmetry on its own."""
    words, units = dct_hash(low), _units(low)

    def search(form: int) -> tuple[IntArray, IntArray, IntArray]:
        other = turned(low, form)
        units_of_form = _units(other)

        def wanted(query: IntArray, word: IntArray) -> NDArray[np.bool_]:
            alike = np.einsum("pk,pk->p", units_of_form[query], units[word]) >= ROUGH
            return np.asarray(alike & (query != word))

        left, right = within(dct_hash(other), words, RADIUS, wanted)
        return left, right, np.full(len(left), form)

    # NumPy lets go of the interpreter in the large operations: two threads take 0.6 of the time of one.
    with ThreadPoolExecutor(THREADS) as pool:
        found = zip(*pool.map(search, range(len(FORMS))), strict=True)
        left, right, form = (np.concatenate(part) for part in found)
    return left, right, form


def _units(low: NDArray[np.float32]) -> NDArray[np.float32]:
    """Low frequencies without the mean, scaled to length one, (N, 63)."""
    flat = low.reshape(len(low), LOW * LOW)[:, 1:]
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def _scores(images: ImageArray, left: IntArray, right: IntArray, form: IntArray) -> NDArray[np.float64]:
    """Overall agreement and agreement of the detail of every candidate, (P, 2) float64."""
    side = int(np.clip(3 * min(images.shape[1:3]) // 4, SMALLEST_SIDE, LARGEST_SIDE))
    found = np.empty((len(left), 2))
    for start in range(0, len(left), BATCH):
        block = slice(start, start + BATCH)
        ones, others = grey(images[left[block]], side), grey(images[right[block]], side)
        for number in range(len(FORMS)):
            same = np.flatnonzero(form[block] == number)
            if len(same):
                found[start + same] = agreement(dihedral(ones[same], number), others[same])
    return found
