"""The pictures of two sets: can a classifier tell them apart (adversarial validation), and are some in both?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold

from kit.errors import DataError
from kit.images.corrupt import LUMA
from kit.judge.metrics import Array
from kit.judge.metrics.ranks import auc_curve
from kit.judge.units import mean_error
from kit.runtime.views import TURNS

Images = NDArray[np.uint8]
Table = NDArray[np.float32]

NAMES = (
    "red", "green", "blue", "red spread", "green spread", "blue spread", "saturation", "darkest", "brightest",
    "fine detail", "middle detail", "coarse detail", "clipped", "blocks of 8",
)  # fmt: skip
BLOCK_BYTES = 1 << 25  # of pixels that are looked at together
FOLDS = 5
MAXIMUM = 4000  # rows of either set; more change the second decimal of no AUC
SIDE = 12  # of the small grey picture that is compared
ALIKE = 0.985  # correlation of two small pictures that are looked at again
SAME = 0.97  # correlation of the whole pictures


def image_statistics(images: Images, rows: NDArray[np.int64] | None = None) -> Table:
    """(N, len(NAMES)) float32 of (N, H, W, 3) uint8 images, or of ``rows`` of them, each of its own picture alone.

    Means and standard deviations of the channels, mean of largest less smallest channel, 2nd and 98th percentile of
    the luma, logarithms of the mean absolute luma difference over 1, 2 and 4 px, the share of values at 0 or 255, and
    how much sharper the borders of JPEG's blocks are than the rest.
    """
    return np.concatenate([np.zeros((0, len(NAMES)), np.float32), *(_block(part) for _, part in _parts(images, rows))])


def _parts(images: Images, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[int, Images]]:
    """First place and pixels of consecutive blocks of ``rows``, or of all."""
    rows, size = np.arange(len(images)) if rows is None else rows, BLOCK_BYTES // int(np.prod(images.shape[1:])) or 1
    return ((start, images[rows[start : start + size]]) for start in range(0, len(rows), size))


def _block(images: Images) -> Table:
    pixels = images.astype(np.float32)
    luma = pixels @ LUMA
    low, high = np.percentile(luma, (2, 98), axis=(1, 2))
    # Pictures too narrow for two blocks have no borders between them.
    steps = np.abs(np.diff(luma, axis=2)).mean(1) if luma.shape[2] >= 16 else np.zeros((len(luma), 16), np.float32)
    border = steps[:, 7::8].mean(1)
    details = []
    for lag in (1, 2, 4):
        step, difference = min(lag, luma.shape[1] - 1, luma.shape[2] - 1), np.zeros(len(luma), np.float32)
        if step > 0:
            across = np.abs(luma[:, :, step:] - luma[:, :, :-step]).mean((1, 2))
            difference = (across + np.abs(luma[:, step:] - luma[:, :-step]).mean((1, 2))) / 2
        details.append(np.log(difference + 0.1))
    columns = [
        *pixels.mean((1, 2)).T,
        *pixels.std((1, 2)).T,
        (images.max(-1) - images.min(-1)).mean((1, 2)),
        low,
        high,
        *details,
        ((images == 0) | (images == 255)).mean((1, 2, 3)),
        np.log((border + 0.5) / (steps.mean(1) + 0.5)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Adversarial:
    """What telling the sets apart came to."""

    auc: float  # out-of-fold area under the curve, .5 = alike
    error: float  # its standard error
    pvalue: float  # one-sided, of "alike"
    telling: tuple[tuple[str, float], ...]  # AUC of every statistic, the most telling first; above .5 = larger in test
    test_likeness: Array  # (M,) out-of-fold probability of being a test picture; NaN where a row was not drawn
    train_likeness: Array  # (N,) the same of the training rows


def adversarial(train: Array, test: Array, seed: int, names: Sequence[str]) -> Adversarial:
    """Tell two sets apart by cross-validated extremely randomised trees.

    ``train`` (N, D) and ``test`` (M, D) are `image_statistics` or embeddings with columns of these ``names`` (D,).
    Beyond `MAXIMUM` rows of a set, as many are drawn.

    Raises `DataError` if a set has fewer rows than `FOLDS`, a value is not finite or the widths differ.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(f"adversarial validation: tables of shape {train.shape} and {test.shape} do not match")
    if min(len(train), len(test)) < FOLDS:
        raise DataError(f"adversarial validation: {len(train)} and {len(test)} rows; each set needs at least {FOLDS}")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise DataError("adversarial validation: a statistic is not finite")
    rng = np.random.default_rng(seed)
    a, b = (np.sort(rng.permutation(len(x))[:MAXIMUM]) for x in (train, test))
    x, z = np.concatenate([train[a], test[b]]), np.repeat([0, 1], [len(a), len(b)])
    likeness = np.zeros(len(z))
    for fit, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, z):
        trees = ExtraTreesClassifier(200, min_samples_leaf=3, class_weight="balanced", random_state=seed)
        likeness[held] = trees.fit(x[fit], z[fit]).predict_proba(x[held])[:, 1]
    found, influence = auc_curve(z == 1, likeness)
    single = [(name, auc_curve(z == 1, column)[0]) for name, column in zip(names, x.T, strict=True)]
    # Standard error of the AUC where both sets are alike (Mann and Whitney 1947).
    null = float(np.sqrt((len(a) + len(b) + 1) / (12 * len(a) * len(b))))
    pvalue = float(norm.sf((found - 0.5) / max(null, 1e-12)))
    ranked = tuple(sorted(single, key=lambda pair: -abs(pair[1] - 0.5)))
    of_test, of_train = np.full(len(test), np.nan), np.full(len(train), np.nan)
    of_test[b], of_train[a] = likeness[z == 1], likeness[z == 0]
    return Adversarial(found, float(mean_error(influence, None)), pvalue, ranked, of_test, of_train)


def twins(
    train: Images, test: Images, known: NDArray[np.int64] | None = None, asked: NDArray[np.int64] | None = None
) -> list[tuple[int, int, float]]:
    """(test row, training row, correlation) of pairs that show one picture, the nearest training row of each test row.

    Small grey pictures are correlated under the eight flips and turns, candidates again at full size. A pair of flat
    pictures has no correlation and is not found; identical pixels are known by their hash anyway. All rows are compared
    unless the training rows that are ``known`` (N,) or the test rows that are ``asked`` for (M,) are given.
    """
    known, asked = (np.arange(len(x)) if rows is None else rows for x, rows in ((train, known), (test, asked)))
    if not len(known) or not len(asked):
        return []
    small, found = _small(train, known), []
    for start, block in _parts(test, asked):
        best, nearest = _nearest([_small(turned) for turned in _turned(block)], small)
        for row in np.flatnonzero(best >= ALIKE):
            other = int(known[nearest[row]])
            one = _standard((train[other].astype(np.float32) @ LUMA)[None])[0]
            whole = (_standard(turned.astype(np.float32) @ LUMA)[0] for turned in _turned(block[row][None]))
            correlation = max(float(one @ other_way) for other_way in whole)
            if correlation >= SAME:
                found.append((int(asked[start + row]), other, correlation))
    return found


def _nearest(turned: Sequence[Table], small: Table) -> tuple[Table, NDArray[np.int64]]:
    """(n,) the largest correlation of a picture, in any of its forms ``turned``, with one of ``small``, and which."""
    n, size = len(turned[0]), max(1, BLOCK_BYTES // 4 // len(turned[0]))
    best, nearest = np.full(n, -1, np.float32), np.zeros(n, np.int64)
    for first in range(0, len(small), size):
        part = small[first : first + size].T
        likeness = turned[0] @ part
        for form in turned[1:]:
            np.maximum(likeness, form @ part, out=likeness)
        column = likeness.argmax(axis=1)
        value = likeness[np.arange(n), column]
        better = value > best
        best[better], nearest[better] = value[better], column[better] + first
    return best, nearest


def _turned(images: Images) -> list[Images]:
    """The pictures under flips and turns, quarter turns only where they are square."""
    return [turned for turn in TURNS.values() if (turned := turn(images)).shape == images.shape]


def _small(images: Images, rows: NDArray[np.int64] | None = None) -> Table:
    """(N, SIDE * SIDE) float32, mean 0 and length 1; zeros of a flat picture."""
    blocks = []
    for _, part in _parts(images, rows):
        grey = part.astype(np.float32) @ LUMA
        down, across = (np.linspace(0, size, min(SIDE, size) + 1).astype(int)[:-1] for size in grey.shape[1:])
        shrunk = np.add.reduceat(np.add.reduceat(grey, down, axis=1), across, axis=2)
        blocks.append(_standard(np.asarray(shrunk, np.float32)))
    return np.concatenate(blocks)


def _standard(values: Table) -> Table:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0), np.float32)
