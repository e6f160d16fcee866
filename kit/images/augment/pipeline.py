"""The augmentations of one run as one compiled, pure function, and the two kinds that an entry of the table can build.

Images are float32, 0 to 255. The 2-D layers of keras-cv draw from ``tf.random`` and from the global generator, both
stateful: nothing repeats in a parallel ``map``, and a resumed run sees other images. While a pipeline is traced, the
two are replaced by stateless draws that are keyed by a seed tensor, that of the image or batch, and numbered in the
order of the trace. So the same bytes come from any number of workers and after any interruption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from itertools import groupby
from typing import Annotated, Any, TypedDict

from pydantic import Field

from kit.config import AugmentConfig
from kit.images.augment import arguments, factory
from kit.runtime.lazy import Lazy, tf

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Fill = Annotated[str, Field(pattern="^(reflect|constant|nearest|wrap)$")]
keras_cv: Any = Lazy("keras_cv")
PATCHED = ("uniform", "normal", "truncated_normal", "gamma", "shuffle")  # of `tf.random`


class Batch(TypedDict):
    """Images (B, S, S, 3) and labels (B, C)."""

    images: Any
    labels: Any


@dataclass(frozen=True)
class ImageOp:
    """An augmentation of one image (S, S, 3), drawn from that image's seed."""

    call: Callable[[Any], Any]


@dataclass(frozen=True)
class BatchOp:
    """An augmentation of a whole batch, drawn from its first image's seed or, by `Context.draw`, from each one's own.

    ``mixes`` says that it mixes images and their labels.
    """

    call: Callable[[Batch, Context], Batch]
    mixes: bool = False


Op = ImageOp | BatchOp


def layer_op(name: str, *values: Any, **options: Any) -> ImageOp:
    """The keras-cv layer ``name`` as an augmentation of one image."""
    layer = getattr(keras_cv.layers, name)(*values, **options)
    return ImageOp(lambda image: layer({"images": image})["images"])


def build_ops(entries: Sequence[AugmentConfig]) -> list[Op]:
    """The augmentations that entries name."""
    return [factory(entry.op)(**arguments(entry)) for entry in entries]


class Pipeline:
    """Augment batches as a pure function of images, labels and seeds.

    Images have a side of ``size`` pixels. Without ``mixing``, augmentations that mix images let everything pass.
    """

    def __init__(self, entries: Sequence[AugmentConfig], size: int, classes: int, *, mixing: bool = True) -> None:
        stream = Stream()
        tf.random.set_global_generator(stream)  # layers keep the one that is there when they are built
        try:
            ops = build_ops(entries)
        finally:
            tf.random.set_global_generator(None)  # TensorFlow makes a new one when somebody asks

        def run(images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
            batch: Batch = {"images": images, "labels": labels}
            with replaced(stream):
                context = Context(stream, seeds, mixing)
                # Neighbours of one kind share one loop over the images.
                for single, group in groupby(ops, lambda op: isinstance(op, ImageOp)):
                    batch = (context.map if single else context.chain)(list(group), batch)
            return tf.clip_by_value(batch["images"], 0.0, 255.0), batch["labels"]

        # One signature, one trace: it takes seconds, because keras-cv needs AutoGraph for conditions on tensors.
        signature = [
            tf.TensorSpec((None, size, size, 3), tf.float32),
            tf.TensorSpec((None, classes), tf.float32),
            tf.TensorSpec((None, 2), tf.int32),
        ]
        self._compiled = tf.function(run, input_signature=signature)

    def __call__(self, images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
        """Augmented images float32 (B, S, S, 3) and labels float32 (B, C), both tensors, from such.

        ``seeds`` (B, 2) int32 are one key for each image; the batch's own draws (partners of a mix) use the first.
        """
        return self._compiled(images, labels, seeds)  # type: ignore[no-any-return]


class Context:
    """What an augmentation of a batch can ask for while one pipeline is traced."""

    def __init__(self, stream: Stream, seeds: Any, mixing: bool) -> None:
        self._stream, self._seeds, self._mixing = stream, seeds, mixing

    def draw(self, shape: list[int]) -> Any:
        """(B, \\*shape) uniform numbers in [0, 1), those of an image from its own seed."""
        return self._stream.uniform_each(self._seeds, shape)

    def apply(self, op: Op, batch: Batch) -> Batch:
        """The batch after another augmentation."""
        if isinstance(op, ImageOp):
            return self.map([op], batch)
        if op.mixes and not self._mixing:
            return batch
        with self._stream.keyed(self._seeds[0]):
            return op.call(batch, self)

    def chain(self, ops: Sequence[Op], batch: Batch) -> Batch:
        """The batch after several, in order."""
        for op in ops:
            batch = self.apply(op, batch)
        return batch

    def map(self, ops: Sequence[Any], batch: Batch) -> Batch:
        def one(element: tuple[Any, Any]) -> Any:
            image, seed = element
            with self._stream.keyed(seed):
                for op in ops:
                    image = op.call(image)
                return tf.ensure_shape(image, batch["images"].shape[1:])

        images = tf.map_fn(one, (batch["images"], self._seeds), fn_output_signature=tf.float32, parallel_iterations=16)
        images.set_shape(batch["images"].shape)
        return {**batch, "images": images}


class Stream:
    """Stateless draws with the interface of ``tf.random`` and ``tf.random.Generator``, keyed by the current seed."""

    def __init__(self) -> None:
        self._seed: Any = None
        self._drawn = 0

    @contextmanager
    def keyed(self, seed: Any) -> Iterator[None]:
        """Draw from ``seed``, an int32 tensor of shape (2,), while the block is traced."""
        # The half of every key that is of the seed alone; in the branches of a choice nothing else would share it.
        before, self._seed = self._seed, tf.random.experimental.stateless_fold_in(seed, 0)[0]
        try:
            yield
        finally:
            self._seed = before

    def _key(self) -> Any:
        if self._seed is None:
            raise RuntimeError("an augmentation layer drew a random number outside of a seeded block")
        # Numbered by the trace, not by the call: one operation keeps its number however often it runs.
        self._drawn += 1
        return tf.stack([self._seed, self._drawn])

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

    # All is drawn from the seed of the stream: ``seed`` and ``name``, which `tf.random` takes, are passed over.
    def _drawn_as(self, kind: str, shape: Any, *values: Any, seed: Any = None, name: Any = None, **options: Any) -> Any:
        return getattr(tf.random, f"stateless_{kind}")(shape, self._key(), *values, **options)

    uniform = partialmethod(_drawn_as, "uniform")
    normal = random_normal = partialmethod(_drawn_as, "normal")
    truncated_normal = partialmethod(_drawn_as, "truncated_normal")

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
