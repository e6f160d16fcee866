"""Randomness as an argument for layers that keep it as hidden state.

The 2-D layers of keras-cv draw from ``tf.random`` and from the global generator, both stateful: nothing repeats in
a parallel ``map``, and a resumed run sees other images. While a pipeline is traced, the two are replaced by
stateless draws that are keyed by a seed tensor and numbered in the order of the trace. The traced graph is a pure
function of its images and seeds, so the same bytes come from any number of workers and after any interruption.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kit.runtime.lazy import tf

PATCHED = ("uniform", "normal", "truncated_normal", "gamma", "shuffle")


class Stream:
    """Stateless draws with the interface of ``tf.random`` and ``tf.random.Generator``, keyed by the current seed."""

    def __init__(self) -> None:
        self._seed: Any = None
        self._drawn = 0

    @contextmanager
    def keyed(self, seed: Any) -> Iterator[None]:
        """Draw from ``seed``, an int32 tensor of shape (2,), while the block is traced."""
        before, self._seed = self._seed, seed
        try:
            yield
        finally:
            self._seed = before

    def _key(self) -> Any:
        if self._seed is None:
            raise RuntimeError("an augmentation layer drew a random number outside of a seeded block")
        # Numbered by the trace, not by the call: one operation keeps its number however often it runs.
        self._drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._drawn)

    def uniform_each(self, seeds: Any, shape: list[int]) -> Any:
        """(B, \\*shape) float32 in [0, 1): for each of ``seeds`` (B, 2) int32 numbers of its own.

        A hash of key and position (the finaliser of MurmurHash3, twice): a loop of ``tf.random`` over the seeds costs
        a hundred times as much.
        """
        self._drawn += 1
        count = math.prod(shape)
        position = tf.range(count, dtype=tf.int64) + self._drawn * 0x10001 + 1
        first, second = (tf.bitcast(seeds[:, number, None], tf.uint32) for number in (0, 1))
        bits = _mixed(tf.bitwise.bitwise_xor(_mixed(tf.cast(position, tf.uint32)[None] + first), second))
        drawn = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
        return tf.reshape(drawn, [-1, *shape])

    # What is drawn with a seed of its own in `tf.random` is drawn from the stream's: ``seed`` and ``name`` are passed
    # over.
    def uniform(self, shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = None, **_: Any) -> Any:
        dtype = tf.as_dtype(dtype or tf.float32)
        if maxval is None and dtype.is_floating:
            maxval = 1
        return tf.random.stateless_uniform(shape, self._key(), minval=minval, maxval=maxval, dtype=dtype)

    def normal(self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, **_: Any) -> Any:
        return tf.random.stateless_normal(shape, self._key(), mean=mean, stddev=stddev, dtype=dtype or tf.float32)

    random_normal = normal

    def truncated_normal(self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, **_: Any) -> Any:
        dtype = dtype or tf.float32
        return tf.random.stateless_truncated_normal(shape, self._key(), mean=mean, stddev=stddev, dtype=dtype)

    def gamma(self, shape: Any, alpha: Any, beta: Any = 1.0, dtype: Any = None, **_: Any) -> Any:
        # `tf.random.gamma` draws ``shape`` for every entry of ``alpha``, the stateless one as many as it is told.
        whole = tf.concat([tf.cast(tf.reshape(shape, [-1]), tf.int32), tf.shape(alpha)], axis=0)
        return tf.random.stateless_gamma(whole, self._key(), alpha=alpha, beta=beta, dtype=dtype or tf.float32)

    def shuffle(self, value: Any, **_: Any) -> Any:
        # Sorting by random keys: `tf.random.experimental.stateless_shuffle` has no gradient-free CPU path in 2.16.
        return tf.gather(value, tf.argsort(self.uniform([tf.shape(value)[0]])))


def _mixed(bits: Any) -> Any:
    """The finaliser of MurmurHash3 (Appleby 2011) on uint32."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32)))
        bits = bits * tf.constant(factor, tf.uint32)
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(16, tf.uint32)))


@contextmanager
def replaced(stream: Stream) -> Iterator[None]:
    """Let ``tf.random.uniform`` and its kin draw from ``stream`` while the block is traced."""
    original = {name: getattr(tf.random, name) for name in PATCHED}
    try:
        for name in PATCHED:
            setattr(tf.random, name, getattr(stream, name))
        yield
    finally:
        for name, function in original.items():
            setattr(tf.random, name, function)
