"""The two kinds of augmentation that an entry of the table can build, and the types of their keys.

Images are float32, 0 to 255. While an operation is traced, ``tf.random`` draws from its image's or batch's seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypedDict

from pydantic import Field

from kit.runtime.lazy import Lazy

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


class Context(Protocol):
    """What an augmentation of a batch can ask for."""

    def draw(self, shape: list[int]) -> Any:
        """(B, \\*shape) uniform numbers in [0, 1), those of an image from its own seed."""

    def apply(self, op: Op, batch: Batch) -> Batch:
        """The batch after another augmentation."""


def layer_op(name: str, *values: Any, **options: Any) -> ImageOp:
    """The keras-cv layer ``name`` as an augmentation of one image."""
    layer = getattr(keras_cv.layers, name)(*values, **options)
    return ImageOp(lambda image: layer({"images": image})["images"])
