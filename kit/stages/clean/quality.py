"""Pictures of hardly any use (dark, light, blurry, empty, grey, of an odd size), and pictures unlike their class."""

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray
from kit.stages.clean.draft import Finding

Features = NDArray[np.floating]

# What a fifth of the pictures show is the nature of the data: night shots, X-rays, grey scans.
COMMON = 0.2
# CleanVision's limits in grey values and bits: its scores 0.32, 0.05 and 0.3, and 0.29 for the Laplacian.
DARK, LIGHT, EMPTY, BLURRY = 82.0, 242.0, 3.0, 34.0
# A smooth subject has a small Laplacian too: blurry is also a quarter of what the data have as a rule.
BLURRIER = 0.25
GREY = 1.0
ODD = 3.0


def quality(found: Features, rows: IntArray) -> list[Finding]:
    """List the pictures with a problem, by the `Measured.statistics` (K, 13) of the pictures in ``rows`` (K,).

    Reasons are ``dark``, ``light``, ``blurry``, ``low-information`` and ``grey``, as in CleanVision, with the figure
    that says so. A problem that more than a fifth of the pictures have is not listed.
    """
    darkest, _, brightest, entropy, sharpness, chroma = found.T[:6]
    usual = float(np.median(sharpness)) if len(rows) else 0.0
    soft = sharpness < min(BLURRY, BLURRIER * usual)
    problems = {
        "dark": (brightest < DARK, brightest, "99 % of the pixels are darker than {:.0f}"),
        "light": (darkest > LIGHT, darkest, "95 % of the pixels are lighter than {:.0f}"),
        "blurry": (soft, sharpness, "variance of the Laplacian {:.1f}"),
        "low-information": (entropy < EMPTY, entropy, "entropy {:.2f} bits"),
        "grey": (chroma < GREY, chroma, "channels differ by {:.1f} on average"),
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
