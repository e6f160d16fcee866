"""The table of backbones, each with its own input contract, and the networks built on them.

Input to every network is the image as it is stored, 0 to 255, RGB. What a backbone wants instead is part of the
network, because the contracts of ``keras.applications`` differ and a wrong one costs points without an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes
    ----------
    builder : str
        ``module:function``; a leading dot is this package. Keras builders are called with ``include_top=False``.
    contract : str
        Key of `CONTRACTS`: what the network wants to be fed with.
    last_block : str
        Name of the first layer of the last block: it and all after it learn in the stage ``last-block``.
    smallest : int
        Smallest legal side of an image, in pixels.
    pretrained : bool
        Whether ImageNet weights exist.
    """

    builder: str
    contract: str
    last_block: str
    smallest: int = 32
    pretrained: bool = True
    options: dict[str, Any] = field(default_factory=dict)


BACKBONES: dict[str, Backbone] = {
    "plain-cnn": Backbone(".scratch:plain_cnn", "unit", "block4_conv", 16, pretrained=False),
    "residual-cnn": Backbone(".scratch:residual_cnn", "unit", "block3_conv1", 16, pretrained=False),
    "mobilenet": Backbone("keras.applications:MobileNet", "symmetric", "conv_pad_12"),
    "mobilenetv2": Backbone("keras.applications:MobileNetV2", "symmetric", "block_13_expand"),
    "efficientnetv2-b0": Backbone("keras.applications:EfficientNetV2B0", "raw", "block6a_expand_conv"),
}


def _raw(x: Any) -> Any:
    return x


def _unit(x: Any) -> Any:
    return x / 255.0


def _symmetric(x: Any) -> Any:
    return x / 127.5 - 1.0


# Names follow what the numbers become: as they are, [0, 1], [-1, 1].
CONTRACTS: dict[str, Callable[[Any], Any]] = {"raw": _raw, "unit": _unit, "symmetric": _symmetric}


class Network(NamedTuple):
    """A network and its two halves, which share their weights.

    ``model`` maps images (B, S, S, 3) to logits (B, C), ``features`` images to pooled features (B, F), ``head``
    features to logits; ``backbone`` is the part whose layers have the names of the published network.
    """

    model: Any
    features: Any
    head: Any
    backbone: Any


def build(description: dict[str, Any]) -> Network:
    """Build the network that ``description`` describes, with fresh weights.

    Parameters
    ----------
    description : dict
        ``backbone`` (key of `BACKBONES`), ``size`` (pixels), ``classes`` (number), ``head`` (``dropout``,
        ``units``). JSON; it travels in the bundle.
    """
    import keras

    entry = BACKBONES[description["backbone"]]
    shape = (int(description["size"]), int(description["size"]), 3)
    backbone = resolve(entry.builder)(input_shape=shape, include_top=False, weights=None, **entry.options)
    images = keras.Input(shape, name="images")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone(CONTRACTS[entry.contract](images)))
    features = keras.Model(images, pooled, name="features")
    head = _head(int(pooled.shape[-1]), int(description["classes"]), description["head"])
    return Network(keras.Model(images, head(pooled), name="network"), features, head, backbone)


def _head(width: int, classes: int, options: dict[str, Any]) -> Any:
    import keras

    inputs = keras.Input((width,), name="pooled")
    x = inputs
    for number, units in enumerate(options["units"]):
        x = keras.layers.Dropout(options["dropout"], name=f"head_dropout_{number}")(x)
        x = keras.layers.Dense(units, activation="relu", name=f"head_dense_{number}")(x)
    x = keras.layers.Dropout(options["dropout"], name="head_dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="head")


def resolve(reference: str) -> Any:
    """The object that ``module:name`` refers to; a leading dot is this package, whatever it is called here."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module, package=__package__), name)
