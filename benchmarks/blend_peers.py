"""Weights by other packages, where they are installed: ``(M, N, C) probabilities, (N,) labels -> (M,) weights``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Weigh = Callable[[NDArray, NDArray], NDArray]


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


AUTOGLUON = "AutoGluon EnsembleSelection"
TABLE: dict[str, tuple[str, Weigh]] = {
    AUTOGLUON: ("autogluon", autogluon),
    "hillclimbers": ("hillclimbers", hillclimbers),
}
PEERS: dict[str, Weigh] = {name: weigh for name, (module, weigh) in TABLE.items() if find_spec(module)}
