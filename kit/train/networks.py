"""Networks for training: pretrained weights, which layers learn, optimisers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.config import StageConfig
from kit.errors import TrainingError
from kit.runs import FoldSpec
from kit.runtime.backbones import BACKBONES, Network, build, resolve


def make_network(spec: FoldSpec) -> Network:
    """Build the network of ``spec`` and fill its backbone with the weights that the run asks for.

    Raises
    ------
    TrainingError
        Where ImageNet weights cannot be downloaded or a file does not fit.
    """
    network = build(spec.network())
    settings = spec.settings
    if settings.weights == "imagenet":
        _download_imagenet(network.backbone, settings.backbone)
    elif settings.weights != "none":
        _load_file(network.backbone, spec.layout.named(settings.weights), settings.backbone)
    return network


def _download_imagenet(backbone: Any, name: str) -> None:
    entry = BACKBONES[name]
    try:
        donor = resolve(entry.builder)(
            input_shape=backbone.input_shape[1:], include_top=False, weights="imagenet", **entry.options
        )
    except Exception as error:
        # Keras raises a bare Exception for every failed download.
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise TrainingError(
            f"the ImageNet weights of {name} cannot be downloaded: no network?",
            'weights = "path/to/weights.h5", or weights = "none" to start from scratch',
        ) from error
    backbone.set_weights(donor.get_weights())


def _load_file(backbone: Any, path: Path, name: str) -> None:
    try:
        backbone.load_weights(str(path))
    except (ValueError, OSError, KeyError) as error:
        line = str(error).splitlines()[0]
        raise TrainingError(f"{path.name} does not fit {name} without its top: {line}") from error


def set_trainable(network: Network, train: str, backbone_name: str, pretrained: bool) -> None:
    """Let exactly the layers learn that the stage ``train`` names.

    BatchNorm of a pretrained backbone stays frozen: its statistics of a million images beat those of a batch.
    """
    entry = BACKBONES[backbone_name]
    layers = network.backbone.layers
    names = [layer.name for layer in layers]
    first = {"head": len(names), "last-block": names.index(entry.last_block), "all": 0}[train]
    network.backbone.trainable = first < len(names)
    for position, layer in enumerate(layers):
        is_norm = type(layer).__name__ == "BatchNormalization"
        layer.trainable = position >= first and not (is_norm and pretrained)


def make_optimizer(stage: StageConfig, variables: list[Any]) -> Any:
    """The stage's optimiser, built for ``variables``; biases and BatchNorm are exempt from weight decay."""
    import keras

    decay = stage.weight_decay or None
    makers: dict[str, Callable[[], Any]] = {
        "adam": lambda: keras.optimizers.Adam(stage.lr),
        "adamw": lambda: keras.optimizers.AdamW(stage.lr, weight_decay=stage.weight_decay),
        "sgd": lambda: keras.optimizers.SGD(stage.lr, momentum=0.9, nesterov=True, weight_decay=decay),
        "lion": lambda: keras.optimizers.Lion(stage.lr, weight_decay=decay),
    }
    optimizer = makers[stage.optimizer]()
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(variables)
    return optimizer


def reseed(model: Any, seed: int) -> None:
    """Start the dropout of every layer from ``seed``, so that an epoch depends on its number and not on the past."""
    for number, layer in enumerate(_all_layers(model)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([(seed + number) % 2**31, 0])


def _all_layers(model: Any) -> list[Any]:
    found = []
    for layer in model.layers:
        found += [layer, *(_all_layers(layer) if hasattr(layer, "layers") else [])]
    return found
