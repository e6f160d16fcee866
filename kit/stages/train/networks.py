"""Networks for training: which layers learn, losses, optimisers, mixed precision.

Mixed precision takes steps in half the bits, and keeps or compares everything in float32. Micikevicius et al. 2018:
weights stay float32, layers compute in 16 bits, and for float16, whose smallest number is 6e-8, the loss is multiplied
by a factor that is lowered when a gradient overflows and raised again while none does.

Losses are of soft labels, and linear in them. ``labels`` (B, C), or (B, 2C) for and against each of several labels
(`Task.masses`), need not sum to one: a row's weight is its sum, so class weights, row weights and mixes of rows all act
by multiplication, and the loss of a mixed label is the mix of the losses of its parts. ``fit(class_weight=...)`` takes
the larger part alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kit.config import RunConfig, StageConfig
from kit.errors import TrainingError
from kit.runs.spec import FoldSpec
from kit.runtime.backbones import BACKBONES, Network, build, reset_input_scale
from kit.runtime.lazy import keras, tf

# What a kind of layer is called in Keras.
KINDS: dict[str, tuple[str, ...]] = {
    "conv": ("Conv2D", "SeparableConv2D"),
    "depthwise": ("DepthwiseConv2D", "SeparableConv2D"),
    "dense": ("Dense",),
    "norm": ("BatchNormalization", "LayerNormalization"),
}
NORM = "BatchNormalization"
Loss = Callable[[Any, Any], Any]


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are built inside of the block compute in ``precision``."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def precision_errors(spec: FoldSpec) -> Iterator[None]:
    """Say `TrainingError` where a layer cannot compute in the run's precision on this device."""
    missing = (tf.errors.UnimplementedError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError)
    try:
        yield
    except missing as error:
        if spec.settings.precision == "float32":
            raise
        raise TrainingError(
            f"run `{spec.run}`: {spec.settings.backbone} cannot compute in {spec.settings.precision} here: "
            f"{str(error.message).splitlines()[0][:200]}",
            f'[runs.{spec.run}] precision = "float32"',
        ) from error


def twin_of(network: Network, spec: FoldSpec, size: int, precision: str) -> Network:
    """The network that predicts, or where that has another input size or precision a copy of it, with its weights.

    Predictions are made by ``network``, in float32 as in the bundle, after the twin's weights were copied to it.
    """
    if (size, precision) == (spec.sizes[-1], "float32"):
        return network
    with computing_in(precision):
        twin = build(spec.network_at(size))
    twin.model.set_weights(network.model.get_weights())
    if BACKBONES[spec.settings.backbone].learns_input_scale:
        reset_input_scale(twin.backbone)
    return twin


def set_trainable(network: Network, stage: StageConfig, backbone_name: str, pretrained: bool) -> None:
    """Let exactly the layers of the backbone learn that ``stage`` names, beside the head.

    BatchNorm of a pretrained backbone stays frozen unless the stage says otherwise: its statistics of a million
    images beat those of a batch. A frozen BatchNorm uses its running statistics.

    Raises `TrainingError` where ``layers`` picks none.
    """
    layers = network.backbone.layers
    last_block = [layer.name for layer in layers].index(BACKBONES[backbone_name].frozen_through) + 1
    first = {"head": len(layers), "last-block": last_block, "layers": stage.from_layer, "all": 0}[stage.train]
    kinds = {name for kind in stage.kinds for name in KINDS[kind]} if stage.train == "layers" else set()
    # MobileNetV2's statistics have a momentum of .999: 320 steps leave them far from what the layers give by then, and
    # in training mode they ruined a short fine-tuning (docs/experiments.md).
    frozen_norm = pretrained and stage.batch_norm == "frozen"
    network.backbone.trainable = first < len(layers)
    for position, layer in enumerate(layers):
        for leaf in layers_inside(layer) or [layer]:
            named = type(leaf).__name__
            leaf.trainable = position >= first and (not kinds or named in kinds) and not (named == NORM and frozen_norm)
    if stage.train == "layers" and not network.backbone.trainable_variables:
        raise TrainingError(
            f"no layer of {backbone_name} is trainable: it has {len(layers)} layers, "
            f"from_layer = {stage.from_layer}, kinds = {list(stage.kinds)}",
            'train = "last-block"',
        )


def make_optimizer(stage: StageConfig, variables: list[Any], precision: str = "float32") -> Any:
    """The stage's optimiser, built for ``variables``; biases and normalisation are exempt from weight decay."""
    decay = stage.weight_decay or None
    common: dict[str, Any] = {"global_clipnorm": stage.clip_norm or None}
    if stage.ema:
        common |= {"use_ema": True, "ema_momentum": stage.ema}
    makers: dict[str, Callable[[], Any]] = {
        "adam": lambda: keras.optimizers.Adam(stage.lr, **common),
        "adamw": lambda: keras.optimizers.AdamW(stage.lr, weight_decay=stage.weight_decay, **common),
        "sgd": lambda: keras.optimizers.SGD(stage.lr, momentum=0.9, nesterov=True, weight_decay=decay, **common),
        "lion": lambda: keras.optimizers.Lion(stage.lr, weight_decay=decay, **common),
    }
    optimizer = makers[stage.optimizer]()
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if precision == "mixed_float16":  # steps whose gradients are not finite are left out
        # For graphics cards alone: a processor emulates float16 at .015 to .035 of the speed (docs/training.md).
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def layers_inside(layer: Any) -> list[Any]:
    """The layers inside of ``layer`` at any depth, none where it holds none."""
    return [found for inner in getattr(layer, "layers", ()) for found in (inner, *layers_inside(inner))]


def log_probabilities(labels: Any, logits: Any) -> Any:
    """Of one class, or for and against several labels, whichever ``labels`` have columns for."""
    if labels.shape[1] == logits.shape[1]:
        return tf.nn.log_softmax(logits)
    return tf.concat([tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)], axis=1)


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean over rows of ``-sum_c y_c log p_c``."""
    # Written out: the gradient of the fused operation is right for labels that sum to one alone.
    return -tf.reduce_mean(tf.reduce_sum(labels * log_probabilities(labels, logits), axis=1))


def cumulative(labels: Any, logits: Any) -> Any:
    """Mean over rows of the log losses of the questions whether the class is above each but the last (Frank & Hall
    2001), ``-mean_k (Y_k log P_k + (Y_C - Y_k) log (1 - P_k))`` with sums Y and P of labels and probabilities up to k.
    """
    log_proba = tf.nn.log_softmax(logits)
    below = tf.math.cumulative_logsumexp(log_proba, axis=1)[:, :-1]
    above = tf.math.cumulative_logsumexp(log_proba, axis=1, reverse=True)[:, 1:]
    mass = tf.cumsum(labels, axis=1)
    return -tf.reduce_mean(mass[:, :-1] * below + (mass[:, -1:] - mass[:, :-1]) * above)


def huber(labels: Any, logits: Any) -> Any:
    """The cross-entropy, and the mean over rows of Huber's loss (1964) of the mean of a distribution over bins.

    That is half of the square of its distance, in bins, from the mean of the label up to one bin, and linear beyond.
    """
    weight, bins = tf.reduce_sum(labels, axis=1), tf.range(labels.shape[1], dtype=logits.dtype)
    true = tf.linalg.matvec(labels, bins) / tf.maximum(weight, 1e-12)
    far = tf.abs(tf.linalg.matvec(tf.nn.softmax(logits), bins) - true)
    loss = tf.where(far < 1.0, far**2 / 2.0, far - 0.5)
    return cross_entropy(labels, logits) + tf.reduce_mean(weight * loss)


def focal(gamma: float) -> Loss:
    """Mean over rows of ``-sum_c y_c (1 - p_c)^gamma log p_c`` (Lin et al. 2017, for several classes)."""

    def loss(labels: Any, logits: Any) -> Any:
        log_proba = log_probabilities(labels, logits)
        # The floor keeps the gradient of the power finite where p = 1 and gamma < 1.
        doubt = tf.maximum(1.0 - tf.exp(log_proba), 1e-7)
        return -tf.reduce_mean(tf.reduce_sum(labels * doubt**gamma * log_proba, axis=1))

    return loss


LOSSES: dict[str, Callable[[RunConfig], Loss]] = {
    "crossentropy": lambda settings: cross_entropy,
    "cumulative": lambda settings: cumulative,
    "huber": lambda settings: huber,
    "focal": lambda settings: focal(settings.focal_gamma),
}
