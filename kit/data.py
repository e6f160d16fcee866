"""The cleaned data as every later stage reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kit.errors import StageError
from kit.files import read_csv, read_json, sha256_file
from kit.layout import Layout
from kit.records import ImageArray, IntArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Images in the order of ``data/images.npy``.

    Attributes
    ----------
    ids : tuple of N str
    labels : (N,) int64
    groups : tuple of N str
    weights : (N,) float32
        Of each row in the loss.
    """

    ids: tuple[str, ...]
    labels: IntArray
    groups: tuple[str, ...]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Index:
    """One entry a row of ``data/images.npy`` but for its last ones, the train-only rows, which stand in ``extra``.

    Attributes
    ----------
    ids : tuple of N str
    labels : (N,) int64
    groups : tuple of N str
        Rows with the same group must share a fold.
    classes : tuple of C str
    shape : (H, W, 3)
    sha256 : str
        Hash of the index file, and through its column of image hashes of the images.
    test : str
        The same of the test images, empty where there are none.
    weights : (N,) float32
        Of each row in the loss.
    extra : Rows
        Rows N, N + 1 ... of the array: external images, trained on and never validated on.
    """

    ids: tuple[str, ...]
    labels: IntArray
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    sha256: str
    test: str
    weights: npt.NDArray[np.float32]
    extra: Rows


def load_index(layout: Layout, *, verify: bool = False) -> Index:
    """Read ``data/index.csv``; with ``verify`` every file is hashed again.

    Raises
    ------
    StageError
        Where the data are missing, half there, or not what the manifest says.
    """
    if not layout.data_manifest.exists():
        raise StageError(f"{layout.data_manifest} is missing", "kit clean")
    manifest = read_json(layout.data_manifest)
    if verify:
        _verify(layout, manifest["files"])
    lines = read_csv(layout.index)
    if len(lines) != manifest["kept"]:
        raise StageError(
            f"{layout.index} has {len(lines)} rows, its manifest says {manifest['kept']}", "kit clean --force"
        )
    n = sum(line["role"] == "train" for line in lines)
    if any(line["role"] == "train" for line in lines[n:]):
        raise StageError(f"{layout.index} has a train row after a train-only one", "kit clean --force")
    rows = _rows(lines[:n])
    return Index(
        ids=rows.ids,
        labels=rows.labels,
        groups=rows.groups,
        classes=tuple(manifest["classes"]),
        shape=tuple(manifest["shape"]),
        sha256=manifest["files"][layout.index.name],
        test=manifest["files"].get(layout.test_index.name, ""),
        weights=rows.weights,
        extra=_rows(lines[n:]),
    )


def _rows(lines: list[dict[str, str]]) -> Rows:
    return Rows(
        ids=tuple(line["id"] for line in lines),
        labels=np.array([int(line["label"]) for line in lines], np.int64),
        groups=tuple(line["group"] for line in lines),
        weights=np.array([float(line.get("weight", 1)) for line in lines], np.float32),
    )


def _verify(layout: Layout, files: dict[str, str]) -> None:
    for name, digest in files.items():
        path = layout.data / name
        if not path.exists() or sha256_file(path) != digest:
            raise StageError(f"{path} is not what `kit clean` wrote", "kit clean --force")


def load_images(layout: Layout) -> ImageArray:
    """The images, those of the index and then the extra ones, memory-mapped; raises `StageError` where missing."""
    return _map(layout, "images.npy")


def load_test_images(layout: Layout) -> ImageArray | None:
    """The test images, memory-mapped and read-only, or None where the competition gives none."""
    return _map(layout, "test.npy") if layout.test_images.exists() else None


def _map(layout: Layout, name: str) -> ImageArray:
    try:
        array: ImageArray = np.load(layout.data / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StageError(f"{layout.data / name} cannot be read: {error}", "kit clean --force") from error
    return array


def load_test_ids(layout: Layout) -> tuple[str, ...]:
    """Ids of the test images, in the order of the array."""
    return tuple(row["id"] for row in read_csv(layout.test_index))
