"""Pictures unlike the others of their class."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kit.base.arrays import IntArray

NEIGHBOURS = 5
FEWEST = 20

Features = NDArray[np.floating]


def outlier_scores(features: Features, labels: IntArray, method: str, *, seed: int = 0) -> NDArray[np.float64]:
    """Score how unlike its class every picture is, (N,), by features (N, D); higher is stranger.

    Each class of ``labels`` (N,) is judged on its own; -1, unlabeled, is one too. One of fewer than twenty scores 0:
    nothing can be said. ``method`` is a key of ``METHODS``: ``isolation-forest`` (Liu, Ting and Zhou 2008; 0 to 1, 0.5
    is ordinary; ``seed`` is its own) or ``knn`` (mean distance to the five nearest of the class in standard deviations,
    divided by its median).
    """
    scores = np.zeros(len(features))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) >= FEWEST:
            spread = features[rows].std(axis=0)
            standard = (features[rows] - features[rows].mean(axis=0)) / np.where(spread > 0, spread, 1)
            scores[rows] = METHODS[method](standard, seed)
    return scores


def strangest(scores: NDArray[np.float64], labels: IntArray, share: float) -> IntArray:
    """The ``share`` of each class with the highest scores, (M,) int64, strangest first."""
    chosen = [
        rows[np.argsort(-scores[rows], kind="stable")][: int(share * len(rows))]
        for rows in (np.flatnonzero((labels == label) & (scores > 0)) for label in np.unique(labels))
    ]
    found = np.concatenate([np.empty(0, np.int64), *chosen])
    return found[np.argsort(-scores[found], kind="stable")]


def _isolation_forest(features: Features, seed: int) -> NDArray[np.float64]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(features)
    return np.asarray(-forest.score_samples(features), np.float64)


def _knn(features: Features, seed: int) -> NDArray[np.float64]:
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(features)
    distance, _ = neighbours.kneighbors()
    mean = distance.mean(axis=1)
    return np.asarray(mean / max(float(np.median(mean)), 1e-12), np.float64)


METHODS: dict[str, Callable[[Features, int], NDArray[np.float64]]] = {
    "isolation-forest": _isolation_forest,
    "knn": _knn,
}
