"""What stands on a backbone: pooling, BatchNorm, dropout, dense layers, logits."""

from __future__ import annotations

from typing import Any, TypedDict

from .lazy import keras
from .scratch import MOMENTUM, regularizer


class Head(TypedDict, total=False):
    """A head as it is described.

    ``batch_norm``: any of ``features`` (on the pooled features) and ``units`` (after every dense layer, before its
    activation: Ioffe & Szegedy 2015); ``dropout``: one rate for every gap, or a rate for the features and one after
    each dense layer; ``units``, ``activation``, ``l1``, ``l2`` of the dense layers. Missing keys are those of
    `DEFAULTS`.
    """

    pooling: str
    batch_norm: list[str]
    dropout: float | list[float]
    units: list[int]
    activation: str
    l1: float
    l2: float


DEFAULTS: Head = {
    "pooling": "avg",
    "batch_norm": [],
    "dropout": 0.0,
    "units": [],
    "activation": "relu",
    "l1": 0.0,
    "l2": 0.0,
}


POOLING = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D", "flatten": "Flatten"}


def pool(features: Any, pooling: str) -> Any:
    """Features (B, F) of a backbone's map (B, H, W, F); what has no map (a feed-forward net) passes unchanged."""
    return getattr(keras.layers, POOLING[pooling])(name="pool")(features) if len(features.shape) == 4 else features


def head(width: int, classes: int, described: Head) -> Any:
    """The network from pooled features (B, ``width``) to logits (B, ``classes``)."""
    options: Head = {**DEFAULTS, **described}
    rates = dropout_rates(options["dropout"], len(options["units"]))
    inputs = x = keras.Input((width,), name="pooled")
    if "features" in options["batch_norm"]:
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name="head_bn")(x)
    x = _dropout(x, rates[0], "head_dropout")
    for number, units in enumerate(options["units"]):
        penalty = regularizer(options["l1"], options["l2"])
        x = keras.layers.Dense(units, kernel_regularizer=penalty, name=f"head_dense_{number}")(x)
        if "units" in options["batch_norm"]:
            x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"head_bn_{number}")(x)
        x = keras.layers.Activation(options["activation"], name=f"head_{options['activation']}_{number}")(x)
        x = _dropout(x, rates[number + 1], f"head_dropout_{number}")
    # Whatever the layers before it compute in: a loss of half-precision logits is too coarse to learn from.
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(x), name="head")


def dropout_rates(dropout: Any, layers: int) -> list[float]:
    """``layers`` + 1 rates: one for the features and one after each dense layer; raises ValueError on another number.

    >>> dropout_rates(0.5, 1)
    [0.5, 0.5]
    """
    rates = [float(dropout)] * (layers + 1) if isinstance(dropout, int | float) else list(dropout)
    if len(rates) != layers + 1:
        raise ValueError(f"dropout has {len(rates)} rates, the features and {layers} dense layers need {layers + 1}")
    return rates


def _dropout(x: Any, rate: float, name: str) -> Any:
    return keras.layers.Dropout(rate, name=name)(x) if rate else x
