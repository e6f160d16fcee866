"""Arrays: images and labels in one ``.npz``, or in two ``.npy`` that lie side by side."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.base.tasks import TASKS
from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import (
    check_no_columns,
    group_names,
    has_column,
    labelled_names,
    named_classes,
    to_labels,
)
from kit.images.sources.pixels import block_reader, readable
from kit.images.sources.raw import RawSet, checked_weights, row_ids
from kit.images.sources.targets import Truth, of_table
from kit.runtime import decode
from kit.store.arrays import array_names, read_array, read_arrays
from kit.store.digests import digest
from kit.store.files import sha256_json
from kit.store.tables import Table

Array = npt.NDArray[Any]

ROW = "row of the array"
IMAGES, LABELS = ("images", "data", "x", "image", "pixels"), ("labels", "y", "label", "targets", "target")
# What `np.savez(path, images, labels)` calls them.
UNNAMED: dict[tuple[str, ...], str] = {IMAGES: "arr_0", LABELS: "arr_1"}
# What stands before or behind these names in a file with several parts: `x_train`, `test_images`, `y_val`.
PARTS = {
    "train": ("train", "training"),
    "external": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "t10k"),
    "truth": ("test", "testing", "t10k"),
}


def open_npz(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read images and labels from one file, whatever they are called in it; nothing else in it is looked at.

    Images are `images`, `x`, `x_train` (`x_test` for the test and its truth), `train_images`, `arr_0` or similar, and
    labels `labels`, `y`, `y_train`, `arr_1` or what `data.label` says; the test part needs none. `data.group` and
    `data.weight` name arrays with one value a row. See `readable` for the forms of images, `labelled` for labels.

    Raises `DataError` where an array is missing or holds something else, and `ConfigError` where a configured one is
    not there.
    """
    path = root / Path(spec).expanduser()
    names = array_names(path)
    wanted = [_pick(names, IMAGES, part, path)]
    if part != "test":
        wanted.append(_label_name(names, data, part, path))
    columns = {key: name for key in ("group", "weight") if has_column(name := getattr(data, key), part, names)}
    for key, name in columns.items():
        if name not in names:
            raise ConfigError(f"data.{key} = {name!r} not found: {path.name} has the arrays {', '.join(names)}")
    arrays = read_arrays(path, {*wanted, *columns.values()})
    # Files that earlier versions could read have the same fingerprint as then.
    unusual = [name for name in wanted if name.lower() not in IMAGES + LABELS]
    images, labels = arrays[wanted[0]], arrays[wanted[1]] if wanted[1:] else None
    raw = array_set(images, labels, data, root, path, [digest(path), *unusual])
    flat = {key: _one_a_row(arrays[name], len(images), f"{path}: {name}") for key, name in columns.items()}
    if "weight" in flat:
        if flat["weight"].dtype.kind not in "iuf":
            raise DataError(f"{path}: weights are not numbers but {flat['weight'].dtype}")
        raw = replace(raw, weights=checked_weights(flat["weight"].astype(np.float64), path.name))
    return replace(raw, groups=group_names(flat["group"].tolist())) if "group" in flat else raw


def npz_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order; only the labels are read."""
    name = _label_name(array_names(path), data, "train", path)
    labels = read_arrays(path, [name])[name]
    return _truth(labels, len(np.atleast_1d(labels)), data, root, path).classes


def open_npy(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read images from one file and labels from another beside it: ``x_train.npy`` and ``y_train.npy``, or idx files.

    Raises `DataError` where there is no file of labels, or a file holds something else.
    """
    path = root / Path(spec).expanduser()
    if part == "train":
        check_no_columns(data, f"the array {spec!r}")
    files = [path] if part == "test" else [path, _labels_beside(path, data, root, part)]
    arrays = [read_array(file) for file in files]
    labels = None if part == "test" else arrays[1]
    return array_set(arrays[0], labels, data, root, path, [digest(file) for file in files])


def npy_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order; only the labels are read."""
    labels = read_array(_labels_beside(path, data, root, "train"))
    return _truth(labels, len(np.atleast_1d(labels)), data, root, path).classes


def array_set(
    images: Array, labels: Array | None, data: DataConfig, root: Path, path: Path, content: Sequence[str]
) -> RawSet:
    """Images and labels as a `RawSet`, the row numbers as ids; ``content`` identifies what they were read from."""
    images, white = readable(images, str(path))
    n = len(images)
    truth = Truth(np.full(n, -1), ()) if labels is None else _truth(labels, n, data, root, path)
    size, policy = data.image_size, data.resize if data.image_size else ""
    # Only where they are not as usual, so that data that were read before stay fresh.
    scale = [white] if white != 255 else []
    told = [{"label": data.label}] if data.label and labels is not None else []
    task = [data.task] if truth.targets is not None else []
    known: list[object] = [*content, decode.VERSION, size, policy, data.group, data.weight, *scale, *told, *task]
    return RawSet(
        ids=row_ids(n),
        labels=truth.labels,
        classes=truth.classes,
        task=TASKS[data.task],
        targets=truth.targets,
        shape=(size, size) if size else images.shape[1:3],
        read=block_reader(images, white, data),
        fingerprint=sha256_json(known),
    )


def _truth(labels: Array, n: int, data: DataConfig, root: Path, path: Path) -> Truth:
    """The truth in an array: `labelled`, or for another task its columns (N, C), or numbers (N,), as a table's."""
    if TASKS[data.task].kind == "classes":
        return Truth(*labelled(labels, n, data, root, path))
    columns = labels.reshape(n, -1) if len(labels) == n else labels
    if columns.ndim != 2 or labels.dtype.kind not in "buif":
        raise DataError(f"{path}: labels are {labels.dtype} {labels.shape}, expected {n} rows of numbers")
    names = named_classes(data, root) if columns.shape[1] > 1 else ("number",)
    names = names or tuple(map(str, range(columns.shape[1])))
    if len(names) != columns.shape[1]:
        raise DataError(f"{path}: labels have {columns.shape[1]} columns, but {data.classes} has {len(names)} names")
    cells = [(str(row), *map(str, line)) for row, line in enumerate(columns.tolist())]
    settings = data.model_copy(update={"id": ROW, "label": "", "group": "", "weight": ""})
    return of_table(Table(path, (ROW, *names), tuple(cells)), settings, root, None)


def labelled(labels: Array, n: int, data: DataConfig, root: Path, path: Path) -> tuple[IntArray, tuple[str, ...]]:
    """Class numbers (N,), -1 for none, and class names of an array: numbers, text, or (N, K) with a single 1 a row.

    Numbers are places in the file that ``data.classes`` names; without one they are themselves the names, so that
    labels from 1 to 10 are the classes 1 to 10. Raises `DataError` where they are neither, or have no name.
    """
    if labels.ndim == 2 and labels.shape[1] > 1 and len(labels) == n and labels.dtype.kind in "buif":
        if not ((labels == 0) | (labels == 1)).all() or (labels.sum(axis=1) != 1).any():
            raise DataError(f"{path}: labels have shape {labels.shape}, but not a single 1 and zeros in every row")
        labels = labels.argmax(axis=1)
    flat, named = _one_a_row(labels, n, f"{path}: labels"), named_classes(data, root)
    if flat.dtype.kind in "US":
        text = np.char.decode(flat, "utf-8", "replace") if flat.dtype.kind == "S" else flat
        values = [str(value).strip() for value in text]
    else:
        flat = np.where(np.isnan(flat), -2, flat) if flat.dtype.kind == "f" else flat  # NaN is no label, and -1 may be
        if flat.dtype.kind not in "bui" and not (flat.dtype.kind == "f" and (flat % 1 == 0).all()):
            raise DataError(f"{path}: labels are not whole numbers or names but {flat.dtype}")
        values = [str(value) for value in flat.astype(np.int64).tolist()]
    if flat.dtype.kind in "US" or not named:
        classes = named or labelled_names(values)
        return to_labels(values, classes, [f"{path.name} row {row + 1}" for row in range(n)]), classes
    numbers = np.maximum(flat.astype(np.int64), -1)
    highest = int(numbers.max(initial=-1))
    if highest >= len(named):
        hint = "labels = labels - 1" if numbers.min() == 1 and highest == len(named) else ""
        raise DataError(f"label {highest} has no name: {data.classes} contains {len(named)} names", hint)
    return numbers, named


def _pick(names: Sequence[str], usual: tuple[str, ...], part: str, path: Path) -> str:
    """The array with one of the ``usual`` names, the one of this part first."""
    lower = {name.lower(): name for name in reversed(names)}
    of_part = [name for word in usual for own in PARTS[part] for name in (f"{word}_{own}", f"{own}_{word}")]
    for name in (*of_part, *usual, UNNAMED[usual]):
        if name in lower:
            return lower[name]
    said = f"{path} has no array `{usual[0]}`, only {', '.join(names[:20]) or 'none'}"
    raise DataError(said, f"np.savez(path, {usual[0]}=...)")


def _label_name(names: Sequence[str], data: DataConfig, part: str, path: Path) -> str:
    if data.label and data.label in names:
        return data.label
    if data.label and part == "train":
        raise ConfigError(f"data.label = {data.label!r} not found: {path.name} has the arrays {', '.join(names[:20])}")
    return _pick(names, LABELS, part, path)


def _labels_beside(path: Path, data: DataConfig, root: Path, part: str) -> Path:
    """The file of labels: as configured, or named like that of the images with another word in it."""
    if data.label and part == "train":
        return root / Path(data.label).expanduser()
    if "idx3-ubyte" in path.name:
        return path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    words = path.stem.lower().split("_")
    renamed = [
        "_".join(label if word == image else word for word in words)
        for image, label in product(IMAGES, LABELS)
        if image in words
    ]
    wanted = {*renamed, *(f"{path.stem.lower()}_{label}" for label in LABELS)}
    found = [file for file in sorted(path.parent.glob("*.npy")) if file.stem.lower() in wanted]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} files of labels" if found else "no file of labels, such as y_train.npy for x_train.npy,"
    raise DataError(f"{path}: {what} beside it", f'[data] label = "{path.parent / "labels.npy"}"')


def _one_a_row(values: Array, n: int, where: str) -> Array:
    if values.shape not in ((n,), (n, 1)):
        raise DataError(f"{where} have shape {values.shape}, expected ({n},) or ({n}, 1)")
    return values.reshape(-1)


def check_classes(raw: RawSet, rows: IntArray, what: str) -> None:
    """Raise `DataError` where there are fewer than two classes or one of them has no image among ``rows``."""
    classes = raw.classes
    labels = raw.task.occurring(raw.truth[rows], classes)
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if len(classes) < 2:
        bare = int((labels < 0).sum())
        without = f" ({bare} rows have no label: an empty cell or a negative number)" if bare else ""
        raise DataError(f"{what} has {len(classes)} class{without}; a classifier needs at least two")
    empty = [classes[c] for c in np.flatnonzero(counts == 0)]
    if empty:
        others = f", nor do {len(empty) - 1} others" if len(empty) > 1 else ""
        hint = "remove its name from data.classes"
        raise DataError(f"{what}: class {empty[0]!r} has no image{others}", hint)
