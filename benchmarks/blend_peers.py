"""What other methods make of the same predictions, where the packages that they need are installed.

`PEERS` are weights, ``(M, N, C) probabilities, (N,) labels -> (M,) weights``; `STACKS` predict other rows themselves,
``(M, N, C) probabilities, (N,) labels, (M, R, C) probabilities of other rows -> (R, C)``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Weigh = Callable[[NDArray, NDArray], NDArray]
Stack = Callable[[NDArray, NDArray, NDArray], NDArray]
LEAST = 1e-7


def autogluon(proba: NDArray, y: NDArray) -> NDArray:
    """AutoGluon's greedy EnsembleSelection on the log loss, 25 rounds."""
    from autogluon.core.metrics import log_loss
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    binary = proba.shape[2] == 2
    given = [p[:, 1] if binary else p for p in np.asarray(proba, dtype=np.float64)]
    kind = "binary" if binary else "multiclass"
    selection = EnsembleSelection(25, kind, log_loss, random_state=np.random.RandomState(0))
    selection.fit(given, y)
    return np.asarray(selection.weights_)


def mean_log_loss(_: object, likelihood: NDArray) -> float:
    """Return the mean of minus the log of what was given to the true class."""
    return float(-np.log(np.clip(likelihood, 1e-15, None)).mean())


def hillclimbers(proba: NDArray, y: NDArray) -> NDArray:
    """hillclimbers on the log loss, positive weights in hundredths.

    It takes a column per member, which for the log loss may be what each gave to the true class; a test of one-hot rows
    makes its predictions the weights.
    """
    import pandas as pd
    from hillclimbers import climb_hill

    names = [str(m) for m in range(len(proba))]
    likelihoods = np.asarray(proba, dtype=np.float64)[:, np.arange(len(y)), y].T
    with contextlib.redirect_stdout(io.StringIO()):
        weights = climb_hill(
            train=pd.DataFrame({"y": y}),
            oof_pred_df=pd.DataFrame(likelihoods, columns=names),
            test_pred_df=pd.DataFrame(np.eye(len(names)), columns=names),
            target="y",
            objective="minimize",
            eval_metric=partial(mean_log_loss),
            plot_hill=False,
        )
    return np.asarray(weights)


def cma_es(proba: NDArray, y: NDArray) -> NDArray:
    """Weights on the simplex by CMA-ES (Hansen 2016) on the log loss, as logits, from equal ones on."""
    import cma

    likelihoods = np.asarray(proba, dtype=np.float64)[:, np.arange(len(y)), y].T

    def weights(logits: NDArray) -> NDArray:
        raised = np.exp(logits - np.max(logits))
        return np.asarray(raised / raised.sum())

    found, _ = cma.fmin2(
        lambda logits: mean_log_loss(None, likelihoods @ weights(logits)),
        np.zeros(len(proba)),
        0.5,
        {"seed": 1, "verbose": -9, "maxfevals": 2000},
    )
    return weights(np.asarray(found))


def logistic_stacking(proba: NDArray, y: NDArray, other: NDArray) -> NDArray:
    """Multinomial logistic regression of scikit-learn, C = 1, on all members' log probabilities."""
    from sklearn.linear_model import LogisticRegression

    def features(of: NDArray) -> NDArray:
        return np.concatenate(list(np.log(np.maximum(np.asarray(of, dtype=np.float64), LEAST))), axis=1)

    model = LogisticRegression(C=1.0, max_iter=2000).fit(features(proba), y)
    out = np.full((other.shape[1], proba.shape[2]), LEAST)
    out[:, model.classes_] = np.maximum(model.predict_proba(features(other)), LEAST)
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def mean_with_a_temperature(proba: NDArray, y: NDArray, other: NDArray) -> NDArray:
    """The plain mean, then the temperature with the least log loss (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    def cooled(of: NDArray, log_temperature: float) -> NDArray:
        raised = np.maximum(of.mean(axis=0, dtype=np.float64), LEAST) ** np.exp(-log_temperature)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    rows = np.arange(len(y))
    found = minimize_scalar(lambda t: mean_log_loss(None, cooled(proba, t)[rows, y]), bounds=(-3, 3), method="bounded")
    return cooled(other, float(found.x))


AUTOGLUON = "AutoGluon EnsembleSelection"
TABLE: dict[str, tuple[str, Weigh]] = {
    AUTOGLUON: ("autogluon", autogluon),
    "hillclimbers": ("hillclimbers", hillclimbers),
    "CMA-ES": ("cma", cma_es),
}
PEERS: dict[str, Weigh] = {name: weigh for name, (module, weigh) in TABLE.items() if find_spec(module)}
STACKS: dict[str, Stack] = {
    "logistic stacking": logistic_stacking,
    "mean with a temperature": mean_with_a_temperature,
}
