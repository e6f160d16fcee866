"""The table of backbones, each with its own input contract, and the networks built on them, with a head of layers.

Input to every network is the image as it is stored, 0 to 255, RGB. What a backbone wants instead is part of the
network, because the contracts of ``keras.applications`` differ and a wrong one costs points without an error.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import numpy as np

from . import preprocess
from .lazy import keras
from .scratch import MOMENTUM, regularizer


class Head(TypedDict, total=False):
    """A head as it is described.

    ``batch_norm``: any of ``features`` (on the pooled features) and ``units`` (after every dense layer, before its
    activation: Ioffe & Szegedy 2015); ``dropout``: one rate for every gap, or a rate for the features and one after
    each dense layer; ``units``, ``activation``, ``l1``, ``l2`` of the dense layers. What is missing is the default of
    `build_head`, and the average of the map.
    """

    pooling: str
    batch_norm: list[str]
    dropout: float | list[float]
    units: list[int]
    activation: str
    l1: float
    l2: float


POOLING = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D", "flatten": "Flatten"}


def build_head(
    width: int,
    classes: int,
    *,
    batch_norm: Sequence[str] = (),
    dropout: float | Sequence[float] = 0.0,
    units: Sequence[int] = (),
    activation: str = "relu",
    l1: float = 0.0,
    l2: float = 0.0,
) -> Any:
    """The network from pooled features (B, ``width``) to logits (B, ``classes``)."""
    rates = dropout_rates(dropout, len(units))
    inputs = x = keras.Input((width,), name="pooled")
    if "features" in batch_norm:
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name="head_bn")(x)
    x = _dropout(x, rates[0], "head_dropout")
    for number, width in enumerate(units):
        x = keras.layers.Dense(width, kernel_regularizer=regularizer(l1, l2), name=f"head_dense_{number}")(x)
        if "units" in batch_norm:
            x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"head_bn_{number}")(x)
        x = keras.layers.Activation(activation, name=f"head_{activation}_{number}")(x)
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


# Keyword arguments of a builder: JSON.
Options = dict[str, float | list[int]]


class _Described(TypedDict):
    backbone: str
    size: int
    classes: int
    head: Head


class Description(_Described, total=False):
    """A network as JSON; it travels in the bundle.

    ``backbone`` (key of `BACKBONES`), ``size`` (pixels), ``classes`` (number), ``head``, and where they are set
    ``options`` of the builder and ``preprocess``, the steps before it.
    """

    options: Options
    preprocess: list[preprocess.Keys]


@dataclass(frozen=True)
class Backbone:
    """One entry of the table.

    ``frozen_through`` names the last layer before the last block, which is what works at the smallest resolution: the
    layers after it learn in the stage ``last-block``. Its map is at most ``side // stride + 1`` places wide and has
    ``width`` features at each, 0 where there is no map but a row, as wide as ``options`` of the builder say.
    """

    builder: str  # ``module:function``; a leading dot is this package, Keras' are called with ``include_top=False``
    contract: str  # key of `CONTRACTS`
    frozen_through: str
    # Not in the representation, which names the folder of a run: they say nothing that is not in the builder.
    width: int = field(repr=False)
    parameters: int = field(repr=False)  # of any options at most: the size is known before the network is built
    stride: int = field(default=32, repr=False)
    smallest: int = 32  # pixels, the smallest legal side of an image
    pretrained: bool = True  # whether there are ImageNet weights
    learns_input_scale: bool = False  # whether weights of a layer are mean and variance of the input
    options: Options = field(default_factory=dict)

    @property
    def keywords(self) -> list[str]:
        """Keys that ``options`` of a run may set: none of Keras' networks, whose signature would load TensorFlow."""
        return keywords(resolve(self.builder)) if self.builder[0] == "." else []


def _scratch(
    name: str, frozen_through: str, width: int, parameters: int, stride: int, **options: float | list[int]
) -> Backbone:
    sizes = (width, parameters, stride, 16)
    return Backbone(f".scratch:{name}", "unit", frozen_through, *sizes, pretrained=False, options=options)


def _keras(name: str, contract: str, frozen_through: str, width: int, parameters: int, smallest: int = 32) -> Backbone:
    return Backbone(f"keras.applications:{name}", contract, frozen_through, width, parameters, smallest=smallest)


def _efficientnet(number: int, last: str, width: int, parameters: int) -> Backbone:
    name = f"keras.applications:EfficientNetB{number}"
    return Backbone(name, "scaled", f"block5{last}_add", width, parameters, learns_input_scale=True)


BACKBONES: dict[str, Backbone] = {
    "two-conv-cnn": _scratch("two_conv_cnn", "block1_pool", 64, 19_392, 4),
    "plain-cnn": _scratch("plain_cnn", "block3_pool", 128, 164_264, 16),
    "regularized-cnn": _scratch("plain_cnn", "block3_dropout", 128, 164_264, 16, dropout=0.2, l1=1e-6, l2=1e-4),
    "squeeze-excitation-cnn": _scratch("squeeze_excitation_cnn", "block3_pool", 128, 221_816, 16),
    "inception-cnn": _scratch("inception_cnn", "block3_pool", 144, 53_272, 16),
    "residual-cnn": _scratch("residual_cnn", "block2_relu2", 128, 306_152, 16),
    "resnet-small": _scratch("small_resnet", "block2_relu2", 128, 294_400, 8),
    "resnet-medium": _scratch("medium_resnet", "block2_relu2", 256, 1_160_192, 8),
    "five-block-cnn": _scratch("five_block_cnn", "block4_pool", 128, 189_696, 32),
    "feed-forward": _scratch("feed_forward", "block1_dropout", 0, 0, 16),
    "mobilenet": _keras("MobileNet", "symmetric", "conv_pw_11_relu", 1024, 3_228_864),
    "mobilenetv2": _keras("MobileNetV2", "symmetric", "block_12_add", 1280, 2_257_984),
    "mobilenetv3-small": _keras("MobileNetV3Small", "raw", "expanded_conv_7_add", 576, 939_120),
    "mobilenetv3-large": _keras("MobileNetV3Large", "raw", "expanded_conv_11_add", 960, 2_996_352),
    "efficientnet-b0": _efficientnet(0, "c", 1280, 4_049_571),
    "efficientnet-b1": _efficientnet(1, "d", 1280, 6_575_239),
    "efficientnet-b2": _efficientnet(2, "d", 1408, 7_768_569),
    "efficientnet-b3": _efficientnet(3, "e", 1536, 10_783_535),
    "efficientnet-b4": _efficientnet(4, "f", 1792, 17_673_823),
    "efficientnet-b5": _efficientnet(5, "g", 2048, 28_513_527),
    "efficientnet-b6": _efficientnet(6, "h", 2304, 40_960_143),
    "efficientnet-b7": _efficientnet(7, "j", 2560, 64_097_687),
    "efficientnetv2-b0": _keras("EfficientNetV2B0", "raw", "block5e_add", 1280, 5_919_312),
    "efficientnetv2-b1": _keras("EfficientNetV2B1", "raw", "block5f_add", 1280, 6_931_124),
    "efficientnetv2-b2": _keras("EfficientNetV2B2", "raw", "block5f_add", 1408, 8_769_374),
    "efficientnetv2-b3": _keras("EfficientNetV2B3", "raw", "block5g_add", 1536, 12_930_622),
    "efficientnetv2-s": _keras("EfficientNetV2S", "raw", "block5i_add", 1280, 20_331_360),
    "efficientnetv2-m": _keras("EfficientNetV2M", "raw", "block5n_add", 1280, 53_150_388),
    "efficientnetv2-l": _keras("EfficientNetV2L", "raw", "block5s_add", 1280, 117_746_848),
    "resnet50": _keras("ResNet50", "caffe", "conv4_block6_out", 2048, 23_587_712),
    "resnet101": _keras("ResNet101", "caffe", "conv4_block23_out", 2048, 42_658_176),
    "resnet50v2": _keras("ResNet50V2", "symmetric", "conv4_block6_out", 2048, 23_564_800),
    "inceptionv3": _keras("InceptionV3", "symmetric", "mixed7", 2048, 21_802_784, 75),
    "inceptionresnetv2": _keras("InceptionResNetV2", "symmetric", "block17_20_ac", 1536, 54_336_736, 75),
    "xception": _keras("Xception", "symmetric", "block12_sepconv3_bn", 2048, 20_861_480, 71),
    "vgg16": _keras("VGG16", "caffe", "block4_pool", 512, 14_714_688),
    "vgg19": _keras("VGG19", "caffe", "block4_pool", 512, 20_024_384),
    "densenet121": _keras("DenseNet121", "torch", "conv4_block24_concat", 1024, 7_037_504),
    "convnext-tiny": _keras("ConvNeXtTiny", "raw", "convnext_tiny_stage_2_block_8_identity", 768, 27_820_128),
    "convnext-small": _keras("ConvNeXtSmall", "raw", "convnext_small_stage_2_block_26_identity", 768, 49_454_688),
    "convnext-base": _keras("ConvNeXtBase", "raw", "convnext_base_stage_2_block_26_identity", 1024, 87_566_464),
    "convnext-large": _keras("ConvNeXtLarge", "raw", "convnext_large_stage_2_block_26_identity", 1536, 196_230_336),
    "convnext-xlarge": _keras("ConvNeXtXLarge", "raw", "convnext_xlarge_stage_2_block_26_identity", 2048, 348_147_968),
    "nasnetmobile": _keras("NASNetMobile", "symmetric", "normal_concat_8", 1056, 4_269_716),
}


# Of ImageNet's training images: in RGB as shares of 1, and the means in BGR as levels.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


# Names follow what the numbers become: as they are, [0, 1], [-1, 1], 255 times a standard score; the last two follow
# who trained that way first.
CONTRACTS: dict[str, Callable[[Any], Any]] = {
    "raw": lambda x: x,
    "unit": lambda x: x / 255.0,
    "symmetric": lambda x: x / 127.5 - 1.0,
    "scaled": lambda x: (x - 255.0 * MEAN) / DEVIATION,
    "torch": lambda x: (x / 255.0 - MEAN) / DEVIATION,
    "caffe": lambda x: x[..., ::-1] - CAFFE_MEAN,
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


def build(description: Description) -> Network:
    """Build the network that ``description`` describes, with fresh weights."""
    entry = BACKBONES[description["backbone"]]
    options = {**entry.options, **description.get("options", {})}
    steps, size = description.get("preprocess", []), int(description["size"])
    side = preprocess.side_after(steps, size)
    bare = {} if entry.builder[0] == "." else {"include_top": False, "weights": None}
    backbone = resolve(entry.builder)(input_shape=(side, side, 3), **bare, **options)
    images = keras.Input((size, size, 3), name="images")
    wanted = CONTRACTS[entry.contract](preprocess.apply(steps, images))
    pooled = backbone(wanted)
    layers: dict[str, Any] = {**description["head"]}
    pooling = POOLING[layers.pop("pooling", "avg")]
    if len(pooled.shape) == 4:  # a feed-forward net has no map
        pooled = getattr(keras.layers, pooling)(name="pool")(pooled)
    features = keras.Model(images, pooled, name="features")
    head = build_head(int(pooled.shape[-1]), int(description["classes"]), **layers)
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


def keywords(function: Callable[..., Any]) -> list[str]:
    """The parameters of a builder or a preprocessor after the first, which is the size or the images."""
    return list(inspect.signature(function).parameters)[1:]


def resolve(reference: str) -> Any:
    """The object that ``module:name`` refers to; a leading dot is this package, whatever it is called here."""
    module, name = reference.split(":")
    return getattr(importlib.import_module(module, package=__package__), name)
