"""Networks trained from scratch; small enough for a laptop, named layers so that their blocks can be frozen.

Keyword arguments of a builder are the keys that ``options`` of a run may set. All return a map (B, H, W, F), but for
`feed_forward`, which returns (B, F).
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from .lazy import keras, tf

Shape = tuple[int, int, int]

# Of the running statistics: the default .99 has not arrived after the few hundred steps of a small competition.
MOMENTUM = 0.9


def regularizer(l1: float, l2: float) -> Any:
    """Keras' penalty on a kernel, or None where both are 0."""
    return keras.regularizers.L1L2(l1, l2) if l1 or l2 else None


def two_conv_cnn(input_shape: Shape, *, l1: float = 0.0, l2: float = 0.0) -> Any:
    """Two times convolution, relu, pooling: the network of a first lesson (LeCun et al. 1998 with relu)."""
    inputs = x = keras.Input(input_shape)
    for block, width in enumerate((32, 64), start=1):
        x = _convolution(x, width, f"block{block}", batch_norm=False, kernel_regularizer=regularizer(l1, l2))
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="two_conv_cnn")


def plain_cnn(
    input_shape: Shape, *, batch_norm: bool = True, dropout: float = 0.0, l1: float = 0.0, l2: float = 0.0
) -> Any:
    """Four times convolution, BatchNorm, relu, pooling (Fukushima's and LeCun's line, with BatchNorm of 2015)."""
    inputs = x = keras.Input(input_shape)
    for block, width in enumerate((24, 48, 96, 128), start=1):
        x = _convolution(x, width, f"block{block}", batch_norm=batch_norm, kernel_regularizer=regularizer(l1, l2))
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
        x = keras.layers.SpatialDropout2D(dropout, name=f"block{block}_dropout")(x) if dropout else x
    return keras.Model(inputs, x, name="plain_cnn")


def squeeze_excitation_cnn(input_shape: Shape, *, ratio: int = 8) -> Any:
    """The plain network with channels weighed by squeeze and excitation after each block (Hu et al. 2018)."""
    inputs = x = keras.Input(input_shape)
    for block, width in enumerate((24, 48, 96, 128), start=1):
        x = _convolution(x, width, f"block{block}")
        y = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"block{block}_squeeze")(x)
        y = keras.layers.Dense(max(width // ratio, 1), activation="relu", name=f"block{block}_reduce")(y)
        y = keras.layers.Dense(width, activation="sigmoid", name=f"block{block}_excite")(y)
        x = keras.layers.Multiply(name=f"block{block}_scale")([x, y])
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="squeeze_excitation_cnn")


def inception_cnn(input_shape: Shape) -> Any:
    """A stem and four blocks of parallel 1, 3 and 5 px convolutions and a pooling (Szegedy et al. 2015)."""
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, 24, "stem")
    x = keras.layers.MaxPooling2D(name="stem_pool")(x)
    for block, width in enumerate((16, 24, 32, 48), start=1):
        name = f"block{block}"
        pooled = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_maximum")(x)
        branches = [
            _convolution(x, width, f"{name}_one", kernel=1),
            _convolution(_convolution(x, width // 2, f"{name}_reduce3", kernel=1), width, f"{name}_three"),
            _convolution(
                _convolution(x, width // 4, f"{name}_reduce5", kernel=1), width // 2, f"{name}_five", kernel=5
            ),
            _convolution(pooled, width // 2, f"{name}_pooled", kernel=1),
        ]
        x = keras.layers.Concatenate(name=f"{name}_concat")(branches)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x) if block < 4 else x
    return keras.Model(inputs, x, name="inception_cnn")


def residual_cnn(input_shape: Shape) -> Any:
    """A strided stem and three residual blocks of 32, 64 and 128 filters (He et al. 2016)."""
    layers = keras.layers
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, 24, "stem", strides=2)
    for block, width in enumerate((32, 64, 128), start=1):
        name = f"block{block}"
        shortcut = layers.Conv2D(width, 1, strides=2, use_bias=False, name=f"{name}_shortcut")(x)
        y = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, name=f"{name}_conv1")(x)
        y = layers.ReLU(name=f"{name}_relu1")(layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn1")(y))
        y = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv2")(y)
        y = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn2")(y)
        x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([y, shortcut]))
    return keras.Model(inputs, x, name="residual_cnn")


def _speed_run(widths: tuple[int, ...], input_shape: Shape) -> Any:
    """Fixed filters of patches and residual blocks for small images, as in the speed runs of the field.

    After Page's ResNet-9 (2018) and Jordan's airbench (2024): the first layer decorrelates patches and does not learn,
    so that no gradient is computed at full size, and a block pools before it normalises.
    """
    inputs, filters = keras.Input(input_shape), patch_filters()
    x = keras.ops.conv(inputs - 0.45, np.concatenate([filters, -filters], axis=-1), padding="valid")
    x = keras.layers.ReLU(name="patches_relu")(x)
    for block, width in enumerate(widths, start=1):
        shortcut, name = None, f"block{block}"
        for part in (1, 2):
            convolution = keras.layers.Conv2D(
                width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv{part}"
            )
            x = keras.layers.MaxPooling2D(name=f"{name}_pool")(convolution(x)) if part == 1 else convolution(x)
            x = _fused()(momentum=MOMENTUM, name=f"{name}_bn{part}")(x)
            x = x if shortcut is None else keras.layers.Add(name=f"{name}_add")([x, shortcut])
            x = shortcut = keras.layers.ReLU(name=f"{name}_relu{part}")(x)
    return keras.Model(inputs, x, name="speed_run")


small_resnet, medium_resnet = partial(_speed_run, (32, 64, 128)), partial(_speed_run, (64, 128, 256))


def patch_filters() -> Any:
    """Filters (2, 2, 3, 12) that nearly decorrelate patches of photographs whose levels are 0 to 1.

    Cosines (Ahmed et al. 1974) times opponent colours; whitening by training images is no better (docs/training.md).
    """
    waves: Any = np.array([[1, 1], [1, -1]]) / 2**0.5
    colours: Any = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.array([[3], [2], [6]]) ** 0.5
    gains: Any = np.array([[[1.2, 6], [6, 9]], [[4.8, 18], [18, 27]], [[4.8, 18], [18, 27]]])
    return np.einsum("iy,jx,kc,kij->yxckij", waves, waves, colours, gains).reshape(2, 2, 3, 12).astype(np.float32)


@cache
def _fused() -> Any:
    """Keras' BatchNorm, whose training step TensorFlow computes in one operation instead of eight."""

    def call(self: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not (training and self.trainable):
            return base.call(self, inputs, training=False)
        fused = tf.compat.v1.nn.fused_batch_norm
        outputs, *found = fused(inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon)
        for moving, now in zip((self.moving_mean, self.moving_variance), found, strict=True):
            moving.assign(self.momentum * moving + (1 - self.momentum) * now)
        return outputs

    base = keras.layers.BatchNormalization
    return type("BatchNormalization", (base,), {"call": call})


def five_block_cnn(input_shape: Shape, *, l1: float = 0.0, l2: float = 1e-4) -> Any:
    """Five times convolution, relu, pooling, normal Glorot weights; meant for a deep head on the flattened map."""
    inputs = x = keras.Input(input_shape)
    for block, width in enumerate((16, 32, 64, 96, 128), start=1):
        penalty = regularizer(l1, l2)
        kernel = {"kernel_regularizer": penalty, "kernel_initializer": "glorot_normal"}
        x = _convolution(x, width, f"block{block}", batch_norm=False, **kernel)
        x = keras.layers.MaxPooling2D(padding="same", name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="five_block_cnn")


def feed_forward(input_shape: Shape, *, units: tuple[int, ...] = (256, 128), dropout: float = 0.2) -> Any:
    """Dense layers on the image pooled to about 16 px a side: what can be had without convolutions."""
    inputs = keras.Input(input_shape)
    x = keras.layers.AveragePooling2D(max(1, input_shape[0] // 16), name="shrink")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    for block, width in enumerate(units, start=1):
        x = keras.layers.Dense(width, activation="relu", name=f"block{block}_dense")(x)
        x = keras.layers.Dropout(dropout, name=f"block{block}_dropout")(x)
    return keras.Model(inputs, x, name="feed_forward")


def _convolution(x: Any, width: int, name: str, *, kernel: int = 3, batch_norm: bool = True, **options: Any) -> Any:
    """Convolution with ``options`` of Keras, BatchNorm where it is wanted, relu."""
    bias, name_of = not batch_norm, f"{name}_conv"
    x = keras.layers.Conv2D(width, kernel, padding="same", use_bias=bias, name=name_of, **options)(x)
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
