"""Bundles as ``bundle.json`` describes them: one schema for what the kit writes and for what it reads from others.

A network is built before its weights are held against it, so its size and the work it asks for are bounded by the
words alone. `kit.platforms.archive` checks strictly: text is not a number, and neither is ``true``.
"""

import inspect
import math
import unicodedata
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, create_model, field_serializer, field_validator, model_validator

from kit.config import HeadConfig
from kit.runtime.backbones import BACKBONES
from kit.runtime.preprocess import PREPROCESSORS
from kit.runtime.views import VIEWS
from kit.store.blend import Pool, Rule
from kit.store.record import Part

MAX_SIDE = 2048  # pixels; also of what a preprocessor makes of an image
MAX_UNITS = 8192
MAX_LAYERS = 8
MAX_STEPS = 10
MAX_NETWORK = 1 << 28  # numbers of its weights: twice the largest backbone, 1 GiB as float32

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Penalty = Annotated[float, Field(ge=0)]
VERSIONS = (1, 2, 3)  # the second has weights by class, the third decisions
MAX_PARAMETERS = 1 << 30  # of all folds of all members, 4 GiB as float32
MAX_PASSES = 2_000  # for one image: members x folds x views; ten members of ten folds under ten views are a thousand
MAX_PIXELS = 1 << 27  # that the passes for one image see: 32 of the largest side, 2,000 of 256 pixels a side
MAX_BATCH_PIXELS = 1 << 27  # 128 images of 1,024 pixels a side
# What is predicted at once, whatever a bundle asks for: the first layers make 64 floats of a pixel, 1 GiB.
PIXELS_AT_ONCE = 1 << 22
LOGITS_AT_ONCE = 1 << 26
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode: control characters, halves of pairs, ends of lines


# Of the keys of preprocessors, which have the types and defaults of `kit.runtime.preprocess`: the least and the most.
BOUNDS = {
    "radius": (1, 64), "sigma": (0.1, 512), "clip": (0.01, 1000), "tiles": (1, 32), "sigma_space": (0.1, 512),
    "sigma_color": (0.1, 512), "background": (0, 255), "size": (1, MAX_SIDE),
    "bilateral radius": (1, 10),  # its graph grows with the square of the radius
}  # fmt: skip


def _step(op: str) -> Any:
    """The model of a preprocessor and its keys."""
    keys: dict[str, Any] = {"op": Literal[op]}
    for name, key in list(inspect.signature(PREPROCESSORS[op]).parameters.items())[1:]:
        low, high = BOUNDS.get(f"{op} {name}", BOUNDS[name])
        keys[name] = (type(key.default), Field(key.default, ge=low, le=high))
    return create_model(op, __base__=Part, **keys)


if TYPE_CHECKING:
    Step: TypeAlias = Any
else:
    Step = Annotated[reduce(or_, map(_step, PREPROCESSORS)), Field(discriminator="op")]


class NetworkOptions(Part):
    """Keys of the kit's own networks (`kit.runtime.scratch`); one that is not set has the network's default."""

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
            if (step.op == "clahe" and 2 * step.tiles > side) or (step.op == "bilateral" and step.radius > side):
                raise ValueError(f"preprocessor {step.op!r} is too coarse for images of {side} pixels")
        if not entry.smallest <= self.sides[-1] <= MAX_SIDE:
            sides = f"from {entry.smallest} to {MAX_SIDE} are allowed"
            raise ValueError(f"{self.backbone} of {self.sides[-1]} pixels; {sides}")
        if self.parameters > MAX_NETWORK:
            raise ValueError(f"its weights are too large: {self.parameters} numbers, at most {MAX_NETWORK} allowed")
        return self

    @property
    def sides(self) -> tuple[int, ...]:
        """The side of an image before each step, and at last of what the backbone sees."""
        sides = [self.size]
        for step in self.preprocess:
            sides.append(step.size if step.op == "resize" else sides[-1])
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


def _printable(name: str) -> str:
    if not name.isprintable() and any(unicodedata.category(letter) in UNPRINTABLE for letter in name):
        raise ValueError(f"{name!r} contains a control character")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class MemberDescription(Part):
    """One member of a bundle: its network and the files of its folds."""

    name: Name
    network: NetworkDescription
    weights: tuple[Name, ...] = Field(min_length=1, max_length=1000)


class BundleDescription(Part):
    """``bundle.json``."""

    version: int
    classes: tuple[Name, ...] = Field(min_length=2, max_length=10_000)
    size: Side
    views: tuple[Name, ...] = Field(min_length=1, max_length=len(VIEWS))
    members: tuple[MemberDescription, ...] = Field(min_length=1, max_length=200)
    blend: Pool
    decision: Rule | None = None
    batch_size: int = Field(ge=1, le=4096)
    resize: Literal["fit", "crop", "stretch"] = "fit"

    @field_validator("version")
    @classmethod
    def _known(cls, version: int) -> int:
        # The first field, whose error is the one that is told: another version may have other keys.
        if version not in VERSIONS:
            raise ValueError(f"{str(version)[:20]} is unknown, this kit reads version {VERSIONS[0]} to {VERSIONS[-1]}")
        return version

    @model_validator(mode="after")
    def _possible(self) -> "BundleDescription":
        if self.batch_size * self.side**2 > MAX_BATCH_PIXELS:
            raise ValueError(f"batches of {self.batch_size} images of {self.side} pixels are too large")
        for what, names in (("class", self.classes), ("view", self.views)):
            if len(set(names)) < len(names):
                raise ValueError(f"the {what} {next(name for name in names if names.count(name) > 1)!r} appears twice")
        for view in self.views:
            if view not in VIEWS:
                raise ValueError(f"unknown view {view!r}")
        for member in self.members:
            if (member.network.size, member.network.classes) != (self.size, len(self.classes)):
                raise ValueError(f"member {member.name!r} and the bundle differ in size or number of classes")
        what = "blend"
        try:
            self.blend.check(len(self.members), len(self.views), len(self.classes))
            what = "decision"
            if self.decision is not None:
                self.decision.check(len(self.classes))
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        pixels = sum(max(member.network.sides) ** 2 * len(member.weights) for member in self.members)
        numbers = sum(member.network.parameters * len(member.weights) for member in self.members)
        totals = (
            ("passes for each image", self.passes, MAX_PASSES),
            ("pixels in the passes for each image", pixels * len(self.views), MAX_PIXELS),
            ("numbers in the weights of all members", numbers, MAX_PARAMETERS),
        )
        for what, found, most in totals:
            if found > most:
                raise ValueError(f"{found} {what}, at most {most} are allowed")
        return self

    @property
    def side(self) -> int:
        """The largest side that an image ever has."""
        return max(side for member in self.members for side in member.network.sides)

    @property
    def passes(self) -> int:
        """Passes through a network for each image: folds of all members, times views."""
        return sum(len(member.weights) for member in self.members) * len(self.views)

    def to_json(self) -> str:
        """The text of ``bundle.json``."""
        return self.model_dump_json(indent=1, exclude_unset=True) + "\n"

    def bounded(self) -> "BundleDescription":
        """The same with a batch size that bounds the memory, which changes no prediction."""
        batch = min(PIXELS_AT_ONCE // self.side**2, LOGITS_AT_ONCE // (self.passes * len(self.classes)))
        return self.model_copy(update={"batch_size": max(1, min(self.batch_size, batch))})
