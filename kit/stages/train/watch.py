"""What is measured on inner and held-out rows after every epoch, and which of it steers the training."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.tasks import Flat
from kit.base.text import nearest
from kit.config import RunConfig
from kit.errors import ConfigError
from kit.judge.blend.temperature import fit_temperature
from kit.judge.metrics import row_nll
from kit.judge.metrics.table import METRICS
from kit.judge.score import score
from kit.runtime.pool import softmax

Logits = npt.NDArray[np.floating]


def calibrated_nll(logits: Logits, y: IntArray) -> float:
    """Log loss after the best temperature: what a network is worth to an ensemble that calibrates its members."""
    logits = logits.astype(np.float64)
    return float(row_nll(y, softmax(logits / fit_temperature(logits, y))).mean())


# Beside the metrics of the kit.
EXTRA: dict[str, Callable[[Logits, IntArray], float]] = {"calibrated_nll": calibrated_nll}


def check_metrics(settings: RunConfig) -> None:
    """Raise `ConfigError` where early stopping or a plateau watches what there is not."""
    for name in watched_metrics(settings):
        if name not in METRICS and name not in EXTRA:
            raise ConfigError(f"unknown metric {name!r}", nearest(name, [*METRICS, *EXTRA]))


def watched_metrics(settings: RunConfig) -> list[str]:
    """Accuracy, log loss, and whatever steers a stage of the run: what early stopping and plateaus choose by."""
    names = ["accuracy", "nll"]
    for stage in settings.stages:
        names += [stage.early_stopping.metric] if stage.early_stopping else []
        names += [stage.schedule.metric] if stage.schedule.kind == "plateau" else []
    return list(dict.fromkeys(names))


def measure(metrics: Sequence[str], logits: Logits, flat: Flat) -> dict[str, float]:
    """Each metric of logits (N, C), as of images with one class each."""
    logits = flat.logits(logits)
    proba = softmax(logits.astype(np.float64))
    return {name: EXTRA[name](logits, flat.y) if name in EXTRA else score(name, flat.y, proba) for name in metrics}
