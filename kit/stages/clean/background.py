"""One background under many different pictures."""

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import ImageArray, IntArray
from kit.stages.clean.align import detail
from kit.stages.clean.draft import components
from kit.stages.clean.hamming import within
from kit.stages.clean.hashes import grey
from kit.stages.clean.near import content_sample

SIDE = 32
FRAME = 4
BLOCK = 1024
# Frames of the practice pictures that lie on one background correlate by 0.98, frames of different ones by at most
# 0.69 (blood cells: 0.6); 10 of 64 signs is where two frames that correlate by 0.88 are on average.
ALIKE = 0.85
RADIUS = 10
# As a rule half a grey level of fine detail on every side: an empty background proves nothing, nor does a stroke
# that touches the edge (digits), nor a picture of a few pixels.
PLAIN = 0.5
SMALLEST = 24
FEWEST = 5
SAMPLE, MOST_PAIRS = 1024, 2e6
# With the mean frame of a set, free of what reaches into single frames, less is enough: practice pictures on the
# set's background reach 0.8, others stay below 0.65.
LIKE_THE_MEAN = 0.75


def shared_backgrounds(images: ImageArray, rows: IntArray) -> list[IntArray]:
    """Find the sets of pictures whose outer frame shows the same fine detail.

    ``images`` (N, H, W, 3) are read in blocks, of them ``rows`` (K,), no two identical. Returns the ascending rows of
    each set of at least five, by first row.

    Pairs are found by the signs of 64 random projections (Charikar 2002) and verified by correlation. Connected
    components of at least five give a mean frame, and each picture joins the mean frame most like its own.
    """
    if min(images.shape[1:3]) < SMALLEST:
        return []
    frames, strength = _frames(images, rows)
    firm = np.flatnonzero(strength >= PLAIN)
    if len(firm) < FEWEST:
        return []
    frames = frames[firm]
    directions = np.random.default_rng(0).standard_normal((frames.shape[1], 64)).astype(np.float32)
    words = np.packbits(frames @ directions > 0, axis=1).view(">u8")[:, 0].astype(np.uint64)
    # All frames, or a sample where most of them are alike: a common scene is found in a sample too.
    searched = content_sample(words, SAMPLE)
    alike = int((frames[searched] @ frames[searched].T >= ALIKE).sum()) - len(searched)
    if alike * (len(words) / len(searched)) ** 2 <= MOST_PAIRS:
        searched = np.arange(len(words))

    def wanted(one: IntArray, other: IntArray) -> NDArray[np.bool_]:
        alike = one < other
        pairs = frames[searched[one[alike]]], frames[searched[other[alike]]]
        alike[alike] = np.einsum("pk,pk->p", *pairs) >= ALIKE
        return alike

    pairs = np.stack(within(words[searched], words[searched], RADIUS, wanted), axis=1)
    sets = components(pairs, len(searched))
    large = np.flatnonzero(np.bincount(sets) >= FEWEST)
    if not len(large):
        return []
    means = np.stack([frames[searched[sets == number]].mean(axis=0) for number in large])
    likeness = frames @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    nearest = np.where(likeness.max(axis=1) >= LIKE_THE_MEAN, likeness.argmax(axis=1), -1)
    found = [rows[firm[nearest == place]] for place in range(len(large))]
    return sorted((part for part in found if len(part) >= FEWEST), key=lambda part: int(part[0]))


def _frames(images: ImageArray, rows: IntArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Detail of the outer frame, centred and scaled to length one (K, P), and how much of it there is as a rule
    along the emptiest of the four sides: the median of its absolute value (K,)."""
    outer = np.ones((SIDE, SIDE), bool)
    outer[FRAME:-FRAME, FRAME:-FRAME] = False
    found, strength = np.empty((len(rows), outer.sum()), np.float32), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        pictures = detail(grey(images[rows[block]], SIDE))
        found[block] = pictures[:, outer]
        turns = (np.rot90(pictures, turn, (1, 2))[:, :FRAME] for turn in range(4))
        strength[block] = np.min([np.median(np.abs(side), axis=(1, 2)) for side in turns], axis=0)
    found -= found.mean(axis=1, keepdims=True)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found, strength
