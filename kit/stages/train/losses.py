"""Losses of soft labels, linear in the labels.

``labels`` (B, C), or (B, 2C) for and against each of several labels (`Task.masses`), need not sum to one: a row's
weight is its sum, so class weights, row weights and mixes of rows all act by multiplication, and the loss of a mixed
label is the mix of the losses of its parts. ``fit(class_weight=...)`` takes the larger part alone.
"""

from collections.abc import Callable
from typing import Any

from kit.config import RunConfig
from kit.runtime.lazy import tf

Loss = Callable[[Any, Any], Any]


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
