"""The augmentations of one run as one compiled, pure function, and the two kinds that an entry of the table can build.

Images are float32, 0 to 255. While an operation is traced, ``tf.random`` draws from its image's or batch's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, TypedDict

from pydantic import Field

from kit.config import AugmentConfig
from kit.images.augment import arguments, factory
from kit.images.augment.randomness import Stream, replaced
from kit.runtime.lazy import Lazy, tf

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Fill = Annotated[str, Field(pattern="^(reflect|constant|nearest|wrap)$")]
keras_cv: Any = Lazy("keras_cv")


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
