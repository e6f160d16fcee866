"""Pictures of hardly any use (dark, light, blurry, empty, grey, of an odd size), and pictures unlike their class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import ImageArray, IntArray
from kit.images.corrupt import LUMA
from kit.stages.clean.draft import Finding

BLOCK_PIXELS = 1 << 18

Column = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Statistics:
    """One number per picture, each (K,) float32; brightness is luma from 0 to 255."""

    darkest: Column  # 5th percentile of the brightness
    middle: Column  # 50th
    brightest: Column  # 99th
    entropy: Column  # of the brightness' histogram, 0 to 8 bits
    sharpness: Column  # variance of the four-neighbour Laplacian of the brightness inside the picture
    chroma: Column  # mean over the pixels of the largest less the smallest channel; 0 is grey
    colour: NDArray[np.float32]  # (K, 6): mean and standard deviation of red, green and blue
    contrast: Column  # mean brightness of the middle quarter of the picture less that of the whole

    def features(self) -> NDArray[np.float32]:
        """All of them as the columns of a matrix, (K, 13); the sharpness as its logarithm."""
        columns = [self.darkest, self.middle, self.brightest, self.entropy, np.log1p(self.sharpness)]
        return np.column_stack([*columns, self.chroma, self.colour, self.contrast]).astype(np.float32)


def statistics(images: ImageArray, rows: IntArray) -> Statistics:
    """Measure ``rows`` of ``images`` (N, H, W, 3) uint8, read in blocks that fit a processor's cache."""
    size = max(1, BLOCK_PIXELS // int(np.prod(images.shape[1:3])))
    parts = [_block(images[rows[start : start + size]]) for start in range(0, len(rows), size)]
    parts = parts or [_block(np.zeros((0, 1, 1, 3), np.uint8))]
    return Statistics(*(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)))


def _block(images: ImageArray) -> tuple[NDArray[np.floating], ...]:
    count, height, width = images.shape[:3]
    planes = images.reshape(count, height * width, 3).transpose(0, 2, 1).astype(np.float32, order="C")
    brightness = (LUMA @ planes).reshape(count, height, width)
    levels = np.rint(brightness).astype(np.int32) + 256 * np.arange(count, dtype=np.int32)[:, None, None]
    histogram = np.bincount(levels.ravel(), minlength=256 * count).reshape(count, 256)
    reached = np.cumsum(histogram, axis=1)
    percentiles = [(reached >= share * height * width).argmax(axis=1) for share in (0.05, 0.50, 0.99)]
    shares = histogram / (height * width)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    chroma = (planes.max(axis=1) - planes.min(axis=1)).mean(axis=1)
    colour = np.concatenate([planes.mean(axis=2), planes.std(axis=2)], axis=1)
    middle = brightness[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    contrast = middle.mean(axis=(1, 2)) - brightness.mean(axis=(1, 2))
    sharpness = np.zeros(count, np.float32)  # where a picture has no inside
    if min(height, width) >= 3:
        across = brightness[:, 1:-1, :-2] + brightness[:, 1:-1, 2:]
        down = brightness[:, :-2, 1:-1] + brightness[:, 2:, 1:-1]
        sharpness = (across + down - 4 * brightness[:, 1:-1, 1:-1]).var(axis=(1, 2))
    return (*percentiles, entropy, sharpness, chroma, colour, contrast)


# What a fifth of the pictures show is the nature of the data: night shots, X-rays, grey scans.
COMMON = 0.2
# CleanVision's limits in grey values and bits: its scores 0.32, 0.05 and 0.3, and 0.29 for the Laplacian.
DARK, LIGHT, EMPTY, BLURRY = 82.0, 242.0, 3.0, 34.0
# A smooth subject has a small Laplacian too: blurry is also a quarter of what the data have as a rule.
BLURRIER = 0.25
GREY = 1.0
ODD = 3.0


def quality(found: Statistics, rows: IntArray) -> list[Finding]:
    """List the pictures with a problem, by the statistics of the pictures in ``rows`` (K,).

    Reasons are ``dark``, ``light``, ``blurry``, ``low-information`` and ``grey``, as in CleanVision, with the figure
    that says so. A problem that more than a fifth of the pictures have is not listed.
    """
    usual = float(np.median(found.sharpness)) if len(rows) else 0.0
    soft = found.sharpness < min(BLURRY, BLURRIER * usual)
    problems = {
        "dark": (found.brightest < DARK, found.brightest, "99 % of the pixels are darker than {:.0f}"),
        "light": (found.darkest > LIGHT, found.darkest, "95 % of the pixels are lighter than {:.0f}"),
        "blurry": (soft, found.sharpness, "variance of the Laplacian {:.1f}"),
        "low-information": (found.entropy < EMPTY, found.entropy, "entropy {:.2f} bits"),
        "grey": (found.chroma < GREY, found.chroma, "channels differ by {:.1f} on average"),
    }
    return [
        Finding(int(rows[place]), reason, -1, told.format(values[place]))
        for reason, (shown, values, told) in problems.items()
        if shown.sum() <= COMMON * len(rows)
        for place in np.flatnonzero(shown)
    ]


def odd_sizes(sizes: IntArray, rows: IntArray) -> list[Finding]:
    """List the ``rows`` (K,) whose area or aspect is far from the others', by height and width in the file (K, 2).

    ``odd-size`` is where area or aspect leaves the quartiles by three times their distance (Tukey's far out) and by a
    factor of two at least. A size of 0 is not known.
    """
    known = sizes.all(axis=1)
    sizes, rows = sizes[known], rows[known]
    if not len(rows):
        return []
    height, width = sizes.T.astype(float)
    odd = _far_out(np.log2(height * width)) | _far_out(np.log2(width / height))
    return [
        Finding(int(rows[place]), "odd-size", -1, f"{sizes[place, 1]} x {sizes[place, 0]} px")
        for place in np.flatnonzero(odd)
    ]


def _far_out(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = np.quantile(values, [0.25, 0.75])
    reach = max(1.0, ODD * (high - low))
    return np.asarray((values < low - reach) | (values > high + reach))


NEIGHBOURS = 5
FEWEST = 20
METHODS = ("isolation-forest", "knn")

Features = NDArray[np.floating]


def outlier_scores(features: Features, labels: IntArray, method: str, *, seed: int = 0) -> NDArray[np.float64]:
    """Score how unlike its class every picture is, (N,), by features (N, D); higher is stranger.

    Each class of ``labels`` (N,), -1 too, is judged on its own; one of fewer than twenty scores 0. ``method`` is
    ``isolation-forest`` (Liu, Ting and Zhou 2008; 0 to 1, 0.5 is ordinary; ``seed`` is its own) or ``knn`` (mean
    distance to the five nearest of the class in standard deviations, divided by its median).
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import NearestNeighbors

    scores = np.zeros(len(features))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) >= FEWEST:
            spread = features[rows].std(axis=0)
            standard = (features[rows] - features[rows].mean(axis=0)) / np.where(spread > 0, spread, 1)
            if method == "knn":
                mean = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(standard).kneighbors()[0].mean(axis=1)
                scores[rows] = mean / max(float(np.median(mean)), 1e-12)
            else:
                forest = IsolationForest(n_estimators=200, random_state=seed).fit(standard)
                scores[rows] = -forest.score_samples(standard)
    return scores


def strangest(scores: NDArray[np.float64], labels: IntArray, share: float) -> IntArray:
    """The ``share`` of each class with the highest scores, (M,) int64, strangest first."""
    chosen = [
        rows[np.argsort(-scores[rows], kind="stable")][: int(share * len(rows))]
        for rows in (np.flatnonzero((labels == label) & (scores > 0)) for label in np.unique(labels))
    ]
    found = np.concatenate([np.empty(0, np.int64), *chosen])
    return found[np.argsort(-scores[found], kind="stable")]
