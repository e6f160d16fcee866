"""Networks as zips describe them: of the kinds that the kit writes, of a size and work that are known beforehand."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from kit.config import HeadConfig
from kit.runtime.backbones import BACKBONES
from kit.store.record import Part

MAX_SIDE = 2048  # pixels; also of what a preprocessor makes of an image
MAX_UNITS = 8192
MAX_LAYERS = 8
MAX_STEPS = 10
MAX_PARAMETERS = 1 << 28  # twice the largest backbone, 1 GiB as float32

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Penalty = Annotated[float, Field(ge=0)]
Radius = Annotated[int, Field(ge=1, le=64)]
Deviation = Annotated[float, Field(ge=0.1, le=512)]


class Illumination(Part):
    """See `kit.runtime.preprocess.illumination`."""

    op: Literal["illumination"]
    radius: Radius = 12
    sigma: Deviation = 8.0


class Clahe(Part):
    """See `kit.runtime.preprocess.clahe`."""

    op: Literal["clahe"]
    clip: Annotated[float, Field(ge=0.01, le=1000)] = 2.0
    tiles: Annotated[int, Field(ge=1, le=32)] = 4


class Bilateral(Part):
    """See `kit.runtime.preprocess.bilateral`; the graph grows with the square of the radius."""

    op: Literal["bilateral"]
    radius: Annotated[int, Field(ge=1, le=10)] = 2
    sigma_space: Deviation = 2.0
    sigma_color: Deviation = 25.0


class Segmentation(Part):
    """See `kit.runtime.preprocess.segmentation`."""

    op: Literal["segmentation"]
    radius: Radius = 2
    background: Annotated[float, Field(ge=0, le=255)] = 255.0


class Resize(Part):
    """See `kit.runtime.preprocess.resize`."""

    op: Literal["resize"]
    size: Side = 96


Step = Annotated[Illumination | Clahe | Bilateral | Segmentation | Resize, Field(discriminator="op")]


class NetworkOptions(Part):
    """Keys of the kit's own networks (`kit.runtime.scratch`), each of which takes some; those of Keras take none.

    One that is not set is not written: its default is the network's.
    """

    batch_norm: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l1: Penalty = 0.0
    l2: Penalty = 0.0
    ratio: Annotated[int, Field(ge=1, le=1024)] = 8
    units: tuple[Units, ...] = Field(default=(256, 128), min_length=1, max_length=MAX_LAYERS)


class NetworkDescription(Part):
    """What `kit.runtime.backbones.build` is given."""

    backbone: str
    size: Side
    classes: int = Field(ge=2, le=10_000)
    head: HeadConfig
    options: NetworkOptions = NetworkOptions()
    preprocess: tuple[Step, ...] = Field(default=(), max_length=MAX_STEPS)

    @field_serializer("head")
    def _whole(self, head: HeadConfig) -> Any:
        return head.model_dump(mode="json")

    @field_validator("head")
    @classmethod
    def _bounded(cls, head: HeadConfig) -> HeadConfig:
        if len(head.units) > MAX_LAYERS or any(not 1 <= units <= MAX_UNITS for units in head.units):
            most = f"at most {MAX_LAYERS} of 1 to {MAX_UNITS} units are allowed"
            raise ValueError(f"head of {len(head.units)} layers; {most}")
        if not math.isfinite(head.l1) or not math.isfinite(head.l2):
            raise ValueError("l1 and l2 must be finite numbers")
        return head

    @model_validator(mode="after")
    def _possible(self) -> "NetworkDescription":
        if self.backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {self.backbone!r}")
        entry = BACKBONES[self.backbone]
        for key in sorted(self.options.model_fields_set - set(entry.keywords)):
            raise ValueError(f"{self.backbone} has no option `{key}`")
        for step, side in zip(self.preprocess, self.sides, strict=False):
            if (isinstance(step, Clahe) and 2 * step.tiles > side) or (
                isinstance(step, Bilateral) and step.radius > side
            ):
                raise ValueError(f"preprocessor {step.op!r} is too coarse for images of {side} pixels")
        if not entry.smallest <= self.sides[-1] <= MAX_SIDE:
            sides = f"from {entry.smallest} to {MAX_SIDE} are allowed"
            raise ValueError(f"{self.backbone} of {self.sides[-1]} pixels; {sides}")
        if self.parameters > MAX_PARAMETERS:
            raise ValueError(f"its weights are too large: {self.parameters} numbers, at most {MAX_PARAMETERS} allowed")
        return self

    @property
    def sides(self) -> tuple[int, ...]:
        """The side of an image before each step, and at last of what the backbone sees."""
        sides = [self.size]
        for step in self.preprocess:
            sides.append(step.size if isinstance(step, Resize) else sides[-1])
        return tuple(sides)

    @property
    def parameters(self) -> int:
        """How many numbers its weights hold, at most; exact but for a flattened map, which may be a pixel narrower."""
        entry, side = BACKBONES[self.backbone], self.sides[-1]
        width, backbone = entry.width, entry.parameters
        if not width:  # dense layers on the image shrunk to about 16 pixels a side
            chain = ((side // max(1, side // 16)) ** 2 * 3, *self.options.units)
            width, backbone = chain[-1], _dense(chain)
        elif self.head.pooling == "flatten":
            width *= (side // entry.stride + 1) ** 2
        return backbone + 4 * width + _dense((width, *self.head.units, self.classes))


def _dense(widths: Sequence[int]) -> int:
    """Numbers of dense layers with bias, and of a BatchNorm after each."""
    return sum((inputs + 5) * outputs for inputs, outputs in pairwise(widths))
