"""The cleaned data as every later stage reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kit.config import Config
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


@dataclass(frozen=True, eq=False)
class Folds:
    """A verified split: ``fold`` (N,) int64 for the rows of the index, and the hash of its file."""

    fold: IntArray
    n: int
    sha256: str


def verify_folds(index: Index, fold: IntArray, n: int) -> None:
    """Raise `StageError` unless ``fold`` is a partition of the rows with no group in two folds and no fold empty."""
    if fold.shape != index.labels.shape or fold.min() < 0 or fold.max() >= n:
        raise StageError(f"the folds are not a partition of the {len(index.ids)} rows", "kit folds --reset")
    owner: dict[str, int] = {}
    for name, group, number in zip(index.ids, index.groups, fold.tolist(), strict=True):
        if owner.setdefault(group, number) != number:
            raise StageError(
                f"group {group!r} is in folds {owner[group]} and {number} (id {name!r})", "kit folds --reset"
            )
    empty = sorted(set(range(n)) - set(fold.tolist()))
    if empty:
        raise StageError(
            f"fold {empty[0]} of {n} is empty: {len(set(index.groups))} groups are too few", "[folds] n = 2"
        )


def load_folds(layout: Layout, config: Config, index: Index) -> Folds:
    """The current split, verified against the data.

    Raises
    ------
    StageError
        Where there is none, it was made for other data, or it splits a group.
    """
    path = layout.folds_table(config.folds.name)
    if not path.exists():
        raise StageError(f"{path} is missing", "kit folds")
    table = {line["id"]: int(line["fold"]) for line in read_csv(path)}
    if set(table) != set(index.ids):
        raise StageError(f"{path.name} was made for other rows than {layout.index.name} has", "kit folds")
    fold = np.array([table[name] for name in index.ids], np.int64)
    verify_folds(index, fold, config.folds.n)
    return Folds(fold, config.folds.n, sha256_file(path))
