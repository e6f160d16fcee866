"""Bundles as ``bundle.json`` describes them: one schema for what the kit writes and for what it reads from others.

A network is built before its weights are held against it, so its size and the work it asks for are bounded by the
words alone. `kit.platforms.archive` checks strictly: text is not a number, and neither is ``true``.
"""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from kit.platforms.described.network import NetworkDescription, Side
from kit.runtime.views import VIEWS
from kit.store.blend import Pool, Rule
from kit.store.record import Part

__all__ = ["BundleDescription", "NetworkDescription"]

VERSIONS = (1, 2, 3)  # the second has weights by class, the third decisions
MAX_PARAMETERS = 1 << 30  # of all folds of all members, 4 GiB as float32
MAX_PASSES = 2_000  # for one image: members x folds x views; ten members of ten folds under ten views are a thousand
MAX_PIXELS = 1 << 27  # that the passes for one image see: 32 of the largest side, 2,000 of 256 pixels a side
MAX_BATCH_PIXELS = 1 << 27  # 128 images of 1,024 pixels a side
# What is predicted at once, whatever a bundle asks for: the first layers make 64 floats of a pixel, 1 GiB.
PIXELS_AT_ONCE = 1 << 22
LOGITS_AT_ONCE = 1 << 26
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode: control characters, halves of pairs, ends of lines


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
        try:
            self.blend.check(len(self.members), len(self.views), len(self.classes))
        except ValueError as error:
            raise ValueError(f"blend: {error}") from None
        try:
            if self.decision is not None:
                self.decision.check(len(self.classes))
        except ValueError as error:
            raise ValueError(f"decision: {error}") from None
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
