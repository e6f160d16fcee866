"""Is this row's prediction right? A logistic regression for every model, on what the models say of a row.

Average thresholded confidence and its kin use a model's own confidence, which a shift makes lie; agreement methods use
other models, and lose the confidence. Here both are features (own confidence, margin, entropy; the other models' mean
probability of the predicted class, their votes and entropy), and the corrupted held-out rows, whose labels are known,
say what they are worth. The forecast of a test's accuracy is the mean over its rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from kit.judge.metrics import Array
from kit.judge.shift.consensus import SOFT
from kit.judge.shift.signals import negative_entropy

PENALTY = 0.3  # scikit-learn's C; between .1 and 1 nothing changes
SLOPES = (0.5, 2.0)
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A fitted model of correctness and the line that puts clean and stressed rows right in the mean.

    Accuracy is ``constant`` + ``slope`` * mean of the pipeline's probabilities.
    """

    pipeline: Pipeline | None  # fitted; None where every row, or none, was right
    constant: float
    slope: float

    def rate(self, features: Array) -> Array:
        """(R,) probability of being right, whose mean is the accuracy; single values may leave 0 to 1."""
        if self.pipeline is None:
            return np.full(len(features), self.constant)
        return np.asarray(self.constant + self.slope * self.pipeline.predict_proba(features)[:, 1], np.float64)


def row_features(proba: NDArray[np.floating], posterior: Array) -> list[Array]:
    """Of each model of (M, R, C) probabilities the features (R, D) of its rows; without company only its own.

    ``posterior`` (R, C) is that of `kit.judge.shift.consensus`.
    """
    features = []
    for model in range(len(proba)):
        own = proba[model].astype(np.float64)
        chosen = own.argmax(1)
        top = np.sort(own, axis=1)[:, ::-1]
        columns = [logit(top[:, 0]), np.log((top[:, 0] + SOFT) / (top[:, 1] + SOFT)), negative_entropy(own, TINY)]
        if len(proba) > 1:
            others = np.delete(proba, model, axis=0).astype(np.float64)
            mean, votes = others.mean(0), (others.argmax(2) == chosen).mean(0)
            given = mean[np.arange(len(chosen)), chosen]
            columns += [logit(given), votes, logit(votes), negative_entropy(mean, TINY), logit(mean.max(1))]
            columns += [(mean.argmax(1) == chosen).astype(np.float64)]
        columns += [logit(posterior[np.arange(len(chosen)), chosen]), negative_entropy(posterior, TINY)]
        features.append(np.stack(columns, axis=1))
    return features


def fit(clean: Array, clean_right: NDArray[np.bool_], stressed: Array, stressed_right: NDArray[np.bool_]) -> Calibrated:
    """Fit on features (N, D) of clean and (S, D) of stressed held-out rows and on whether each was right."""
    right = np.concatenate([clean_right, stressed_right])
    if right.all() or not right.any():
        return Calibrated(None, float(right[0]), 0.0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=500))
    pipeline.fit(np.concatenate([clean, stressed]), right)
    at_clean, at_stress = (float(pipeline.predict_proba(x)[:, 1].mean()) for x in (clean, stressed))
    run = at_clean - at_stress
    rise = float(clean_right.mean() - stressed_right.mean())
    slope = float(np.clip(rise / run, *SLOPES)) if abs(run) > SOFT else 1.0
    # Exact at the clean end: without a shift the forecast is the clean score.
    return Calibrated(pipeline, float(clean_right.mean()) - slope * at_clean, slope)


def logit(share: Array) -> Array:
    """Log odds, kept finite and near."""
    return np.asarray(np.log((share + SOFT) / (1 + SOFT - share)), np.float64)
