"""Bundles from others: hostile until proven.

Nothing of a foreign zip is executed: only its description and its arrays are read, within caps, and the kit's own
runtime predicts with them.
"""

import math
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydantic import ValidationError

from kit.errors import BundleError
from kit.platforms.described import BundleDescription, NetworkDescription
from kit.store.arrays import UNREADABLE
from kit.store.files import is_litter, mendable
from kit.store.record import first_problem

MAX_MEMBERS = 2_000
MAX_BYTES = 8 << 30
MAX_JSON_BYTES = 4 << 20
MAX_ARRAYS = 5_000
# Trained weights hardly compress (float32 to .93 of their size); zeros do, to a thousandth.
MAX_RATIO = 20
FREE_BYTES = 16 << 20  # are unpacked from a zip of any size
# Of an array: 8 bytes a number in float64, 16 in a long double; the other is its headers, here of all together.
MAX_ITEM = 16
HEADERS = 2 << 20
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# By how much a network may be described larger than its weights are: a flattened map is known to the pixel only once
# it is built, and 3 x 3 may be 1.
SLACK, FREE_NUMBERS = 10, 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """A temporary folder with the checked description and weights of the bundle at ``path``.

    Weights that are larger than their networks can be, or than trained weights can be in so small a zip, stay in the
    zip: nothing will predict without them. Raises `BundleError` where the zip is damaged, leaves its folder, is too
    large, or describes what cannot be.
    """
    with TemporaryDirectory(prefix="kit-bundle-") as name:
        try:
            _unpack(path, Path(name))
        except FileNotFoundError as error:
            raise BundleError(f"no such file: {path}") from error
        except UNREADABLE as error:
            known = mendable(error) if isinstance(error, OSError) else None  # a full disk is not the fault of the zip
            raise known or BundleError(f"{path.name} cannot be read as a bundle: {error}") from error
        yield Path(name)


def _unpack(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = _checked_members(archive, path.name)
        description = _description(archive, infos, path.name)
        networks: dict[str, list[NetworkDescription]] = {}
        for member in description.members:
            for file in member.weights:
                networks.setdefault(file, []).append(member.network)
        left = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
        for file, used_by in networks.items():
            if file not in infos or not file.endswith(".npz"):
                raise BundleError(f"{path.name} lists the weights {file!r} but does not contain them")
            size = infos[file].file_size
            if size <= min(left, HEADERS + MAX_ITEM * min(network.parameters for network in used_by)):
                _copy_weights(archive, infos[file], folder / file, path.name)
                held = check_arrays(folder / file, f"{path.name}: {file}")
                # Of about as many numbers as each network, which is not built for others.
                for network in used_by:
                    if not held <= network.parameters <= SLACK * held + FREE_NUMBERS:
                        wanted = f"a {network.backbone} of {network.parameters}"
                        raise BundleError(f"{path.name}: {file} contains {held} numbers, which do not match {wanted}")
                left -= size
    # What was checked is what is used: the values of the schema, not the text that they were read from.
    (folder / "bundle.json").write_text(description.bounded().to_json(), encoding="utf-8")


def _checked_members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BundleError(f"{name} contains {len(infos)} files, at most {MAX_MEMBERS} are allowed")
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise BundleError(f"{name} unpacks to more than {MAX_BYTES >> 30} GiB")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        # An empty part is the start of an absolute path once a folder around is taken away: `b//tmp` in `b`.
        parts = info.filename.removesuffix("/").split("/")
        if {"", ".."} & set(parts) or "\\" in info.filename or ":" in info.filename:
            raise BundleError(f"{name} contains {info.filename!r}, which is outside its folder")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{name} contains the link {info.filename!r}")
        # A read of bzip2 or LZMA takes as much memory as there is to a megabyte of them: a million times as much.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(f"{name} contains {info.filename!r} in an unsupported compression")
        if info.filename in found:
            raise BundleError(f"{name} contains {info.filename!r} twice")
        found[info.filename] = info
    # By their paths in the bundle: file managers pack its folder, and a Mac adds files of its own.
    own = {name: info for name, info in found.items() if not is_litter(name)}
    around = {name.partition("/")[0] for name in own}
    prefix = f"{around.pop()}/" if len(around) == 1 and "bundle.json" not in own else ""
    return {name.removeprefix(prefix): info for name, info in own.items()}


def _description(archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], name: str) -> BundleDescription:
    if "bundle.json" not in infos:
        raise BundleError(f"{name} is not a bundle: it contains no bundle.json")
    # Its size is what it unpacks to, not what the archive says.
    with archive.open(infos["bundle.json"]) as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise BundleError(f"{name}: bundle.json is larger than {MAX_JSON_BYTES} bytes")
    try:
        return BundleDescription.model_validate_json(content, strict=True)
    except ValidationError as error:
        # Keys of the file may stand in the message, and they may hold anything.
        said = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in first_problem(error))
        raise BundleError(f"{name}: {infos['bundle.json'].filename}: {said[:300]}") from None


def _copy_weights(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    left = info.file_size
    with archive.open(info) as source, target.open("wb") as file:
        while chunk := source.read(min(left + 1, 1 << 20)):
            left -= len(chunk)
            if left < 0:
                raise BundleError(f"{name}: {info.filename} is larger than the archive says")
            file.write(chunk)


def check_arrays(file: Path, name: str) -> int:
    """How many numbers an ``.npz`` of plain float arrays holds, each of which is as large as its header says.

    ``np.load`` believes the header: a file of a hundred bytes could ask for a terabyte. Raises `BundleError` where
    anything else is in the file, whole numbers too: one byte of them would become four of a weight.
    """
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_ARRAYS:
            raise BundleError(f"{name} contains {len(infos)} arrays, at most {MAX_ARRAYS} are allowed")
        if len({info.filename for info in infos}) < len(infos):
            raise BundleError(f"{name} contains an array twice")
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise BundleError(f"{name}: array {info.filename!r} is compressed")
        # The directory may say of one byte that it is a million arrays.
        if sum(info.file_size for info in infos) > file.stat().st_size:
            raise BundleError(f"{name}: its arrays are not as large as the archive says")
        numbers = 0
        for info in infos:
            what = f"{name}: array {info.filename!r}"
            with archive.open(info) as member:
                try:
                    shape, _, dtype = HEADER_READERS[np.lib.format.read_magic(member)](member)
                except UNREADABLE as error:
                    raise BundleError(f"{what} has no readable header") from error
                if dtype.kind != "f":
                    raise BundleError(f"{what} has type {dtype}, not floating-point numbers")
                size = info.file_size - member.tell()
                if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != size:
                    raise BundleError(f"{what} is not as large as its shape {shape} says")
            numbers += math.prod(shape)
    return numbers
