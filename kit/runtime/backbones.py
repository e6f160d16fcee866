"""The table of backbones, each with its own input contract, and the networks built on them.

Input to every network is the image as it is stored, 0 to 255, RGB. What a backbone wants instead is part of the
network, because the contracts of ``keras.applications`` differ and a wrong one costs points without an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import heads, preprocess


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    Attributes
    ----------
    builder : str
        ``module:function``; a leading dot is this package. Keras builders are called with ``include_top=False``.
    contract : str
        Key of `CONTRACTS`: what the network wants to be fed with.
    frozen_through : str
        Name of the last layer before the last block, which is what works at the smallest resolution: the layers
        after it learn in the stage ``last-block``.
    smallest : int
        Smallest legal side of an image, in pixels.
    pretrained : bool
        Whether ImageNet weights exist.
    learns_input_scale : bool
        Whether the network holds a layer whose weights are mean and variance of the input; see `reset_input_scale`.
    options : dict
        Keyword arguments of the builder.
    """

    builder: str
    contract: str
    frozen_through: str
    smallest: int = 32
    pretrained: bool = True
    learns_input_scale: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def _scratch(name: str, frozen_through: str, smallest: int = 16, **options: Any) -> Backbone:
    return Backbone(f".scratch:{name}", "unit", frozen_through, smallest, pretrained=False, options=options)


def _keras(name: str, contract: str, frozen_through: str, smallest: int = 32) -> Backbone:
    return Backbone(f"keras.applications:{name}", contract, frozen_through, smallest)


def _efficientnet(number: int, last: str) -> Backbone:
    name = f"keras.applications:EfficientNetB{number}"
    return Backbone(name, "scaled", f"block5{last}_add", learns_input_scale=True)


BACKBONES: dict[str, Backbone] = {
    "two-conv-cnn": _scratch("two_conv_cnn", "block1_pool"),
    "plain-cnn": _scratch("plain_cnn", "block3_pool"),
    "regularized-cnn": _scratch("plain_cnn", "block3_dropout", dropout=0.2, l1=1e-6, l2=1e-4),
    "squeeze-excitation-cnn": _scratch("squeeze_excitation_cnn", "block3_pool"),
    "inception-cnn": _scratch("inception_cnn", "block3_pool"),
    "residual-cnn": _scratch("residual_cnn", "block2_relu2"),
    "five-block-cnn": _scratch("five_block_cnn", "block4_pool"),
    "feed-forward": _scratch("feed_forward", "block1_dropout"),
    "mobilenet": _keras("MobileNet", "symmetric", "conv_pw_11_relu"),
    "mobilenetv2": _keras("MobileNetV2", "symmetric", "block_12_add"),
    "mobilenetv3-small": _keras("MobileNetV3Small", "raw", "expanded_conv_7_add"),
    "mobilenetv3-large": _keras("MobileNetV3Large", "raw", "expanded_conv_11_add"),
    "efficientnet-b0": _efficientnet(0, "c"),
    "efficientnet-b1": _efficientnet(1, "d"),
    "efficientnet-b2": _efficientnet(2, "d"),
    "efficientnet-b3": _efficientnet(3, "e"),
    "efficientnet-b4": _efficientnet(4, "f"),
    "efficientnet-b5": _efficientnet(5, "g"),
    "efficientnet-b6": _efficientnet(6, "h"),
    "efficientnet-b7": _efficientnet(7, "j"),
    "efficientnetv2-b0": _keras("EfficientNetV2B0", "raw", "block5e_add"),
    "efficientnetv2-b1": _keras("EfficientNetV2B1", "raw", "block5f_add"),
    "efficientnetv2-b2": _keras("EfficientNetV2B2", "raw", "block5f_add"),
    "efficientnetv2-b3": _keras("EfficientNetV2B3", "raw", "block5g_add"),
    "efficientnetv2-s": _keras("EfficientNetV2S", "raw", "block5i_add"),
    "efficientnetv2-m": _keras("EfficientNetV2M", "raw", "block5n_add"),
    "efficientnetv2-l": _keras("EfficientNetV2L", "raw", "block5s_add"),
    "resnet50": _keras("ResNet50", "caffe", "conv4_block6_out"),
    "resnet101": _keras("ResNet101", "caffe", "conv4_block23_out"),
    "resnet50v2": _keras("ResNet50V2", "symmetric", "conv4_block6_out"),
    "inceptionv3": _keras("InceptionV3", "symmetric", "mixed7", 75),
    "inceptionresnetv2": _keras("InceptionResNetV2", "symmetric", "block17_20_ac", 75),
    "xception": _keras("Xception", "symmetric", "block12_sepconv3_bn", 71),
    "vgg16": _keras("VGG16", "caffe", "block4_pool"),
    "vgg19": _keras("VGG19", "caffe", "block4_pool"),
    "densenet121": _keras("DenseNet121", "torch", "conv4_block24_concat"),
    "convnext-tiny": _keras("ConvNeXtTiny", "raw", "convnext_tiny_stage_2_block_8_identity"),
    "convnext-small": _keras("ConvNeXtSmall", "raw", "convnext_small_stage_2_block_26_identity"),
    "convnext-base": _keras("ConvNeXtBase", "raw", "convnext_base_stage_2_block_26_identity"),
    "nasnetmobile": _keras("NASNetMobile", "symmetric", "normal_concat_8"),
}


# Of ImageNet's training images: in RGB as shares of 1, and the means in BGR as levels.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


def _raw(x: Any) -> Any:
    return x


def _unit(x: Any) -> Any:
    return x / 255.0


def _symmetric(x: Any) -> Any:
    return x / 127.5 - 1.0


def _torch(x: Any) -> Any:
    return (x / 255.0 - MEAN) / DEVIATION


def _caffe(x: Any) -> Any:
    return x[..., ::-1] - CAFFE_MEAN


def _scaled(x: Any) -> Any:
    return (x - 255.0 * MEAN) / DEVIATION


# Names follow what the numbers become: as they are, [0, 1], [-1, 1], 255 times a standard score; the last two follow
# who trained that way first.
CONTRACTS: dict[str, Callable[[Any], Any]] = {
    "raw": _raw,
    "unit": _unit,
    "symmetric": _symmetric,
    "scaled": _scaled,
    "torch": _torch,
    "caffe": _caffe,
}


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
        ``backbone`` (key of `BACKBONES`), ``size`` (pixels), ``classes`` (number), ``head`` (see `heads.head`) and,
        where they are set, ``options`` of the builder and ``preprocess`` (see `preprocess.apply`). JSON; it travels
        in the bundle.
    """
    import keras

    entry = BACKBONES[description["backbone"]]
    options = {**entry.options, **description.get("options", {})}
    steps, size = description.get("preprocess", []), int(description["size"])
    side = preprocess.side_after(steps, size)
    backbone = resolve(entry.builder)(input_shape=(side, side, 3), include_top=False, weights=None, **options)
    head_options = {**heads.DEFAULTS, **description["head"]}
    images = keras.Input((size, size, 3), name="images")
    wanted = CONTRACTS[entry.contract](preprocess.apply(steps, images))
    pooled = heads.pool(backbone(wanted), head_options["pooling"])
    features = keras.Model(images, pooled, name="features")
    head = heads.head(int(pooled.shape[-1]), int(description["classes"]), head_options)
    return Network(keras.Model(images, head(pooled), name="network"), features, head, backbone)


def reset_input_scale(backbone: Any) -> None:
    """Let the first layers of a backbone filled with published weights pass the contract ``scaled`` on.

    EfficientNet (not V2) divides by 255 and normalises with stored weights; for ``weights="imagenet"`` alone Keras
    adds a layer, because what is stored is a deviation and not a variance. A network built without that layer and
    filled with those weights sees wrong inputs, and one filled by assignment keeps the statistics it was built
    with. So the contract normalises, and these weights are set to mean 0 and variance 1.
    """
    (layer,) = (layer for layer in backbone.layers if type(layer).__name__ == "Normalization")
    mean, variance, count = layer.get_weights()
    layer.set_weights([np.zeros_like(mean), np.ones_like(variance), count])
    layer.finalize_state()


def resolve(reference: str) -> Any:
    """The object that ``module:name`` refers to; a leading dot is this package, whatever it is called here."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module, package=__package__), name)
