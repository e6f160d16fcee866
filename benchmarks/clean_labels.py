"""Wrong labels planted in digits and in the practice competition: recall of the kit's proposals and cleanlab's.

    python benchmarks/clean_labels.py --seeds 0 1 2 3 4

5 % of the labels are replaced by another class drawn at random. Both rank the same calibrated probabilities,
predicted out of fold; recall is the share of the wrong labels among the first 2 x 5 % of the ranking.
"""

from __future__ import annotations

import argparse
import os
import platform

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from kit.images.sources.practice import make
from kit.stages.clean.review import expected_errors, label_errors

SHARE = 0.05


def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x, y


def practice() -> tuple[np.ndarray, np.ndarray]:
    """Hand-made features of the practice cells, without the rows tampered with."""
    data = make(n=3000, size=64, seed=0)
    rows = np.setdiff1d(np.arange(3000), [row for row, _, _ in data.planted])
    return cell_features(data.images[rows]), data.labels[rows]


def cell_features(images: np.ndarray) -> np.ndarray:
    """Blind to turns: stain by distance from the middle, its quantiles, and the spectrum of the texture."""
    density = -np.log((images.astype(np.float32) + 8) / 263)
    side = images.shape[1]
    axis = (np.arange(side) - (side - 1) / 2) / (side / 2)
    radius = np.hypot(axis[:, None], axis)
    ring = np.minimum((10 * radius).astype(int), 9)
    middle = np.quantile(density[:, radius < 0.75], np.linspace(0.05, 0.95, 10), axis=1)
    grey = density.mean(axis=3)
    window = np.maximum(0, 1 - radius**2 / 0.8)
    power = np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2
    frequency = np.fft.fftfreq(side) * side
    scale = np.minimum(np.hypot(frequency[:, None], frequency).astype(int), side // 2)
    parts = [f(density[:, ring == k], axis=1) for k in range(10) for f in (np.mean, np.std)]
    parts += list(middle)
    spectrum = [np.log(power[:, scale == k].mean(axis=1) + 1e-6) for k in range(side // 2)]
    return np.column_stack([*parts, *spectrum])


def models(seed: int) -> dict[str, object]:
    svm = make_pipeline(StandardScaler(), SVC(gamma=0.002, C=10))
    forest = ExtraTreesClassifier(300, random_state=seed)
    return {
        "SVM": CalibratedClassifierCV(svm, ensemble=False, cv=3),
        "extra trees": CalibratedClassifierCV(forest, ensemble=False, cv=3),
    }


def flipped(y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    wrong = rng.choice(len(y), round(SHARE * len(y)), replace=False)
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + rng.integers(1, y.max() + 1, len(wrong))) % (y.max() + 1)
    return noisy, wrong


def recall(order: np.ndarray, wrong: np.ndarray) -> float:
    return float(np.isin(wrong, order[: 2 * len(wrong)]).mean())


def measure(x: np.ndarray, y: np.ndarray, name: str, seed: int) -> tuple[float, ...]:
    noisy, wrong = flipped(y, np.random.default_rng(seed))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    proba = cross_val_predict(models(seed)[name], x, noisy, cv=folds, method="predict_proba")
    own = np.array([proposal.row for proposal in label_errors(proba, noisy, 2 * len(wrong))])
    theirs = []
    for method in ("self_confidence", "normalized_margin"):
        for adjust in (False, True):
            scores = get_label_quality_scores(noisy, proba, method=method, adjust_pred_probs=adjust)
            theirs.append(recall(np.argsort(scores, kind="stable"), wrong))
    count = len(find_label_issues(noisy, proba, return_indices_ranked_by="normalized_margin"))
    accuracy = float((proba.argmax(1) == y).mean())
    return accuracy, recall(own, wrong), *theirs, expected_errors(proba, noisy), count, len(wrong)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    seeds = parser.parse_args().seeds
    print(f"{platform.machine()}, {os.cpu_count()} cores; means over {len(seeds)} seeds")
    print("                        OOF       recall at twice the budget               errors expected by")
    print("data      model         accuracy  kit   cleanlab: self  adj.  margin adj.  kit  cleanlab  planted")
    for data, load in {"digits": digits, "practice": practice}.items():
        x, y = load()
        for name in models(0):
            row = np.mean([measure(x, y, name, seed) for seed in seeds], axis=0)
            figures = "  ".join(f"{value:.3f}" for value in row[:6])
            print(f"{data:9} {name:13} {figures}  {row[6]:.0f}  {row[7]:.0f}  {row[8]:.0f}", flush=True)


if __name__ == "__main__":
    main()
