"""Bundles from others: hostile until proven.

Nothing of a foreign zip is executed: only its description and its arrays are read, within caps, and the kit's own
runtime predicts with them.
"""

from __future__ import annotations

import json
import math
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kit.described import check_blend, check_network
from kit.errors import BundleError
from kit.runtime.views import VIEWS
from kit.store.arrays import UNREADABLE

MAX_MEMBERS = 2_000
MAX_BYTES = 8 << 30
MAX_JSON_BYTES = 4 << 20
MAX_ARRAYS = 5_000
MAX_BATCH_PIXELS = 1 << 27  # 128 images of 1,024 pixels a side

Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MemberDescription(_Strict):
    """One member of a bundle: its network and the files of its folds."""

    name: Name
    network: dict[str, Any]
    weights: list[Name] = Field(min_length=1, max_length=1000)


class BundleDescription(_Strict):
    """``bundle.json`` of a bundle that may come from anybody."""

    version: int
    classes: list[Name] = Field(min_length=2, max_length=10_000)
    size: int = Field(ge=1, le=4096)
    views: list[Name] = Field(min_length=1, max_length=len(VIEWS))
    members: list[MemberDescription] = Field(min_length=1, max_length=200)
    blend: dict[str, Any]
    batch_size: int = Field(ge=1, le=4096)
    resize: Literal["fit", "crop", "stretch"] = "fit"

    @model_validator(mode="after")
    def _known(self) -> BundleDescription:
        if self.batch_size * self.size**2 > MAX_BATCH_PIXELS:
            raise ValueError(f"batches of {self.batch_size} images of {self.size} pixels are too large")
        for view in self.views:
            if view not in VIEWS:
                raise ValueError(f"unknown view {view!r}")
        for member in self.members:
            self._check_network(member)
        self._check_blend()
        return self

    def _check_network(self, member: MemberDescription) -> None:
        network = member.network
        try:
            check_network(network)
        except ValueError as error:
            raise ValueError(f"member {member.name!r}: {error}") from None
        if network.get("size") != self.size or network.get("classes") != len(self.classes):
            raise ValueError(f"member {member.name!r} is of another size or number of classes than the bundle")

    def _check_blend(self) -> None:
        try:
            check_blend(self.blend, len(self.members), len(self.views), len(self.classes))
        except ValueError as error:
            raise ValueError(f"blend: {error}") from None


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A temporary folder with the checked description and weights of the bundle at ``path``.

    Raises
    ------
    BundleError
        Where the zip is damaged, leaves its folder, is larger than it should be, or describes what cannot be.
    """
    with TemporaryDirectory(prefix="kit-bundle-") as name:
        try:
            _unpack(path, Path(name))
        except FileNotFoundError as error:
            raise BundleError(f"no such file: {path}") from error
        except UNREADABLE as error:
            raise BundleError(f"{path.name} cannot be read as a bundle: {error}") from error
        yield Path(name)


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = _checked_members(archive, path.name)
        description = _description(archive, infos, path.name)
        for weights in sorted({file for member in description.members for file in member.weights}):
            _copy_weights(archive, infos, weights, folder, path.name)
    (folder / "bundle.json").write_text(json.dumps(description.model_dump()), encoding="utf-8")


def _checked_members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BundleError(f"{name} holds {len(infos)} files, at most {MAX_MEMBERS} are read")
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise BundleError(f"{name} unpacks to more than {MAX_BYTES >> 30} GiB")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        parts = PurePosixPath(info.filename).parts
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in info.filename:
            raise BundleError(f"{name} holds {info.filename!r}, which leaves its folder")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{name} holds the link {info.filename!r}")
        if info.filename in found:
            raise BundleError(f"{name} holds {info.filename!r} twice")
        found[info.filename] = info
    return found


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, name: str) -> bytes:
    """A member's content; its size is what it unpacks to, not what the archive says."""
    with archive.open(info) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{name}: {info.filename} is larger than {most} bytes")
    return content


def _description(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], name: str) -> BundleDescription:
    if "bundle.json" not in infos:
        raise BundleError(f"{name} is no bundle: it holds no bundle.json")
    content = _read(archive, infos["bundle.json"], MAX_JSON_BYTES, name)
    try:
        return BundleDescription.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{name}: bundle.json: {where or 'it'}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name}: bundle.json is not JSON: {error}") from None


def _copy_weights(
    archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], weights: str, folder: Path, name: str
) -> None:
    if weights not in infos or not weights.endswith(".npz"):
        raise BundleError(f"{name} names the weights {weights!r} and does not hold them")
    target = folder / PurePosixPath(weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    left = infos[weights].file_size
    with archive.open(infos[weights]) as source, target.open("wb") as file:
        while chunk := source.read(min(left + 1, 1 << 20)):
            left -= len(chunk)
            if left < 0:
                raise BundleError(f"{name}: {weights} is larger than the archive says")
            file.write(chunk)
    with target.open("rb") as file:
        check_arrays(file, f"{name}: {weights}")


def check_arrays(file: IO[bytes], name: str) -> None:
    """Raise `BundleError` unless an ``.npz`` holds plain float arrays, each as large as its header says.

    ``np.load`` believes the header: a file of a hundred bytes could ask for a terabyte.
    """
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_ARRAYS:
            raise BundleError(f"{name} holds {len(infos)} arrays, at most {MAX_ARRAYS} are read")
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED:
                raise BundleError(f"{name}: array {info.filename!r} is compressed")
            with archive.open(info) as member:
                _check_header(member, info, name)


def _check_header(member: IO[bytes], info: zipfile.ZipInfo, name: str) -> None:
    try:
        version = np.lib.format.read_magic(member)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[version](member)
    except (ValueError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise BundleError(f"{name}: array {info.filename!r} has no readable header") from error
    if dtype.hasobject or dtype.kind not in "fiu":
        raise BundleError(f"{name}: array {info.filename!r} has type {dtype}, not numbers")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != info.file_size - member.tell():
        raise BundleError(f"{name}: array {info.filename!r} is not as large as its shape {shape} says")
