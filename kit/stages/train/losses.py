"""Losses of soft labels, linear in the labels.

``labels`` (B, C) need not sum to one: a row's weight is its sum, so class weights, row weights and mixes of rows all
act by multiplication, and the loss of a mixed label is the mix of the losses of its parts. ``fit(class_weight=...)``
takes the larger part alone.
"""

from collections.abc import Callable
from typing import Any

from kit.config import RunConfig
from kit.runtime.lazy import tf

Loss = Callable[[Any, Any], Any]


def cross_entropy(labels: Any, logits: Any) -> Any:
    """Mean over rows of ``-sum_c y_c log p_c``."""
    # Written out: the gradient of the fused operation is right for labels that sum to one alone.
    return -tf.reduce_mean(tf.reduce_sum(labels * tf.nn.log_softmax(logits), axis=1))


def focal(gamma: float) -> Loss:
    """Mean over rows of ``-sum_c y_c (1 - p_c)^gamma log p_c`` (Lin et al. 2017, for several classes)."""

    def loss(labels: Any, logits: Any) -> Any:
        log_proba = tf.nn.log_softmax(logits)
        # The floor keeps the gradient of the power finite where p = 1 and gamma < 1.
        doubt = tf.maximum(1.0 - tf.exp(log_proba), 1e-7)
        return -tf.reduce_mean(tf.reduce_sum(labels * doubt**gamma * log_proba, axis=1))

    return loss


LOSSES: dict[str, Callable[[RunConfig], Loss]] = {
    "crossentropy": lambda settings: cross_entropy,
    "focal": lambda settings: focal(settings.focal_gamma),
}
