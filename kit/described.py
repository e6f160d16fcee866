"""Networks and blends as zips from others describe them: what the kit would write, nothing built to fill memory.

A network is built before its weights are held against it, so its size must be bounded by the words alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kit.config import HeadConfig
from kit.runtime.backbones import BACKBONES, resolve
from kit.runtime.preprocess import PREPROCESSORS, side_after

MAX_SIDE = 2048  # pixels; also of what a preprocessor makes of an image
MAX_UNITS = 8192
MAX_LAYERS = 8
MAX_STEPS = 10
# Of a kernel on a flattened map, were it as deep as the deepest backbone and shrunk as little as the least.
MAX_FLATTENED = 1 << 31
# Numbers that Keras' own builders take (alpha, depth_multiplier) are factors.
MAX_FACTOR = 4.0

Positive = Annotated[float, Field(gt=0)]
Description = TypeVar("Description", bound=BaseModel)


class NetworkDescription(BaseModel):
    """What `kit.runtime.backbones.build` is given."""

    model_config = ConfigDict(extra="forbid")

    backbone: str
    size: int = Field(ge=1, le=MAX_SIDE)
    classes: int = Field(ge=2, le=10_000)
    head: HeadConfig
    options: dict[str, bool | int | float | list[int]] = Field(default_factory=dict, max_length=20)
    preprocess: list[dict[str, Any]] = Field(default_factory=list, max_length=MAX_STEPS)

    @model_validator(mode="after")
    def _known(self) -> NetworkDescription:
        if self.backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {self.backbone!r}")
        for step in self.preprocess:
            _check_step(step)
        _check_units(self.head)
        for key, value in self.options.items():
            _check_option(self.backbone, key, value)
        self._check_sizes()
        return self

    def _check_sizes(self) -> None:
        side = side_after(self.preprocess, self.size)
        smallest = BACKBONES[self.backbone].smallest
        if not smallest <= side <= MAX_SIDE:
            raise ValueError(f"{self.backbone} of {side} pixels; from {smallest} to {MAX_SIDE} are read")
        width = (self.head.units or (self.classes,))[0]
        if self.head.pooling == "flatten" and (side // 16 + 1) ** 2 * 512 * width > MAX_FLATTENED:
            raise ValueError(f"a flattened map of {side} pixels and {width} units are too large")


class PartDescription(BaseModel):
    """One part of a blend; see `kit.runtime.pool`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str = ""
    share: float
    temperatures: list[Positive]
    weights: list[float]
    slopes: list[float]
    centre: float
    bias: list[float]
    ranks: list[list[list[float]]] | None = None


class BlendDescription(BaseModel):
    """What `kit.runtime.pool.apply` is given."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    views: list[float]
    parts: list[PartDescription] = Field(min_length=1, max_length=1000)
    bias: list[float] = Field(default_factory=list)


def check_blend(blend: dict[str, Any], members: int, views: int, classes: int) -> None:
    """Raise ValueError, on one line, where a blend is not one of so many members, views and classes."""
    found = _validated(BlendDescription, blend)
    _check_lengths("views", [found.views], views)
    _check_lengths("bias", [found.bias] if found.bias else [], classes)
    for part in found.parts:
        _check_lengths("bias", [part.bias], classes)
        _check_lengths("members", [part.temperatures, part.weights, part.slopes], members)
        if part.ranks is not None:
            _check_lengths("ranks", [part.ranks], members)
            _check_lengths("ranks", part.ranks, classes)
            _check_lengths("ranks", [table for each in part.ranks for table in each], len(part.ranks[0][0]))


def _check_lengths(what: str, lists: Sequence[Sequence[Any]], length: int) -> None:
    for found in lists:
        if len(found) != length or not length:
            raise ValueError(f"{what}: a list of {len(found)}, expected {length}")


def check_network(description: dict[str, Any]) -> None:
    """Raise ValueError, on one line, where a network is described that the kit would not make."""
    _validated(NetworkDescription, description)


def _validated(model: type[Description], value: dict[str, Any]) -> Description:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {message}" if where else message) from None


def _check_units(head: HeadConfig) -> None:
    if len(head.units) > MAX_LAYERS or any(not 1 <= units <= MAX_UNITS for units in head.units):
        raise ValueError(f"head of {len(head.units)} layers; at most {MAX_LAYERS} of 1 to {MAX_UNITS} units are read")


def _check_step(step: dict[str, Any]) -> None:
    if step.get("op") not in PREPROCESSORS:
        raise ValueError(f"unknown preprocessor {step.get('op')!r}")
    known = inspect.signature(PREPROCESSORS[step["op"]]).parameters
    for key, value in step.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key != "op" and not (key in known and number and 0 < value <= MAX_SIDE):
            raise ValueError(f"preprocessor {step['op']!r}: `{key}` = {value!r} is not one of its numbers")


def _check_option(backbone: str, key: str, value: Any) -> None:
    builder = BACKBONES[backbone].builder
    if builder.startswith("."):
        known = list(inspect.signature(resolve(builder)).parameters)[3:]
        numbers = value if isinstance(value, list) else [value]
        if key not in known or len(numbers) > MAX_LAYERS or any(not 0 <= number <= 512 for number in numbers):
            raise ValueError(f"{backbone}: option `{key}` = {value!r} is not one of its numbers")
    elif isinstance(value, list) or not 0 <= value <= MAX_FACTOR:
        raise ValueError(f"{backbone}: option `{key}` = {value!r} is no factor up to {MAX_FACTOR:g}")
