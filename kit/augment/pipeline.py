"""The augmentations of one run as one compiled, pure function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kit.augment import factory
from kit.augment.randomness import Stream, build_with, replaced
from kit.config import AugmentConfig


@dataclass(frozen=True)
class Op:
    """One augmentation.

    ``call`` maps ``{"images": ..., "labels": ...}`` (float32, 0 to 255) to the same. With ``per_image`` it is called
    with one image and drawn from that image's seed, otherwise with the whole batch and drawn from its first seed.
    """

    call: Callable[[dict[str, Any]], dict[str, Any]]
    per_image: bool


class Pipeline:
    """Augment batches as a pure function of images, labels and seeds.

    Parameters
    ----------
    entries : sequence of AugmentConfig
    size : int
        Side of the images in pixels.
    classes : int
        Number of classes C.
    """

    def __init__(self, entries: Sequence[AugmentConfig], size: int, classes: int) -> None:
        self._stream = Stream()
        self._ops: list[Op] = build_with(self._stream, lambda: [factory(e.op)(**e.options) for e in entries])
        self._compiled = self._compile(size, classes)

    def __call__(self, images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
        """Augmented images float32 (B, S, S, 3) and labels float32 (B, C), both tensors.

        Parameters
        ----------
        images : (B, S, S, 3) float32
        labels : (B, C) float32
        seeds : (B, 2) int32
            One key for each image; the batch's own draws (partners of a mix) use the first.
        """
        return self._compiled(images, labels, seeds)  # type: ignore[no-any-return]

    def _compile(self, size: int, classes: int) -> Any:
        import tensorflow as tf

        def run(images: Any, labels: Any, seeds: Any) -> tuple[Any, Any]:
            batch = {"images": images, "labels": labels}
            with replaced(self._stream):
                for op in self._ops:
                    batch = self._map(op, batch, seeds) if op.per_image else self._whole(op, batch, seeds)
            return tf.clip_by_value(batch["images"], 0.0, 255.0), batch["labels"]

        # One signature, one trace: it takes seconds, because keras-cv needs AutoGraph for conditions on tensors.
        signature = [
            tf.TensorSpec((None, size, size, 3), tf.float32),
            tf.TensorSpec((None, classes), tf.float32),
            tf.TensorSpec((None, 2), tf.int32),
        ]
        return tf.function(run, input_signature=signature)

    def _whole(self, op: Op, batch: dict[str, Any], seeds: Any) -> dict[str, Any]:
        with self._stream.keyed(seeds[0]):
            return op.call(batch)

    def _map(self, op: Op, batch: dict[str, Any], seeds: Any) -> dict[str, Any]:
        import tensorflow as tf

        def one(element: tuple[Any, Any]) -> Any:
            image, seed = element
            with self._stream.keyed(seed):
                return op.call({"images": image})["images"]

        images = tf.map_fn(one, (batch["images"], seeds), fn_output_signature=tf.float32, parallel_iterations=16)
        images.set_shape(batch["images"].shape)
        return {**batch, "images": images}
