"""Networks trained from scratch; small enough for a laptop, named layers so that their blocks can be frozen."""

from __future__ import annotations

from typing import Any

# Of the running statistics: the default .99 has not arrived after the few hundred steps of a small competition.
MOMENTUM = 0.9


def plain_cnn(input_shape: tuple[int, int, int], include_top: bool = False, weights: None = None) -> Any:
    """Four times convolution, BatchNorm, relu, pooling (Fukushima's and LeCun's line, with BatchNorm of 2015)."""
    import keras

    inputs = x = keras.Input(input_shape)
    for block, width in enumerate((24, 48, 96, 128), start=1):
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block{block}_conv")(x)
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"block{block}_bn")(x)
        x = keras.layers.ReLU(name=f"block{block}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="plain_cnn")


def residual_cnn(input_shape: tuple[int, int, int], include_top: bool = False, weights: None = None) -> Any:
    """A strided stem and three residual blocks of 32, 64 and 128 filters (He et al. 2016)."""
    import keras

    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=MOMENTUM, name="stem_bn")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    for block, width in enumerate((32, 64, 128), start=1):
        x = _residual_block(x, width, f"block{block}")
    return keras.Model(inputs, x, name="residual_cnn")


def _residual_block(x: Any, width: int, name: str) -> Any:
    import keras

    layers = keras.layers
    shortcut = layers.Conv2D(width, 1, strides=2, use_bias=False, name=f"{name}_shortcut")(x)
    y = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, name=f"{name}_conv1")(x)
    y = layers.ReLU(name=f"{name}_relu1")(layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn1")(y))
    y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
    y = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn2")(y)
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([y, shortcut]))
