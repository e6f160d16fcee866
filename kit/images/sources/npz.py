"""Arrays in one ``.npz``: ``images`` uint8 (N, H, W, 3) and ``labels`` (N,) or (N, 1)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kit.base.arrays import FloatArray, ImageArray, IntArray
from kit.config import DataConfig
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import has_column, named_classes
from kit.images.sources.raw import RawSet, checked_weights, row_ids
from kit.runtime import decode
from kit.store.arrays import read_arrays
from kit.store.digests import digest
from kit.store.files import sha256_json

Arrays = dict[str, npt.NDArray[Any]]

IMAGES = ("images", "data", "x", "X")
LABELS = ("labels", "y", "label")


def open_npz(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read images and labels from one file, as the blood-cell challenge handed them out.

    ``images`` may be called ``data``, ``x`` or ``X`` as well, ``labels`` also ``y``; the test part needs none.
    `data.group` and `data.weight` name arrays with one value a row.

    Raises `DataError` where an array is missing, has another shape or type, or a label is not a class number.
    """
    path = root / Path(spec).expanduser()
    arrays = read_arrays(path)
    images = _images(arrays, path)
    labels = np.full(len(images), -1, np.int64) if part == "test" else _labels(arrays, len(images), path)
    grouped = has_column(data.group, part, arrays)
    groups = tuple(map(str, _per_row(arrays, data.group, "group", path).tolist())) if grouped else ()
    size, policy = data.image_size, data.resize if data.image_size else ""

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        block = images[start:stop]
        if size and images.shape[1:3] != (size, size):
            block = np.stack([decode.resize(image, size, data.resize) for image in block])
        return block, {}

    return RawSet(
        ids=row_ids(len(images)),
        labels=labels,
        classes=_class_names(data, root, labels),
        shape=(size, size) if size else images.shape[1:3],
        read=read,
        fingerprint=sha256_json([digest(path), decode.VERSION, size, policy, data.group, data.weight]),
        groups=groups,
        weights=_weights(arrays, data, part, path),
    )


def npz_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order; only the labels are read."""
    arrays = read_arrays(path, LABELS)
    return _class_names(data, root, _labels(arrays, len(_pick(arrays, LABELS, path)), path))


def _weights(arrays: Arrays, data: DataConfig, part: str, path: Path) -> FloatArray | None:
    if not has_column(data.weight, part, arrays):
        return None
    weights = _per_row(arrays, data.weight, "weight", path)
    if weights.dtype.kind not in "iuf":
        raise DataError(f"{path}: weights are not numbers but {weights.dtype}")
    return checked_weights(weights.astype(np.float64), path.name)


def _per_row(arrays: Arrays, name: str, key: str, path: Path) -> npt.NDArray[Any]:
    if name not in arrays:
        raise ConfigError(f"data.{key} = {name!r} not found: {path.name} has the arrays {', '.join(arrays)}")
    n = len(_pick(arrays, IMAGES, path))
    if arrays[name].shape not in ((n,), (n, 1)):
        raise DataError(f"{path}: {name} has shape {arrays[name].shape}, expected ({n},)")
    return arrays[name].reshape(-1)


def _pick(arrays: Arrays, names: tuple[str, ...], path: Path) -> npt.NDArray[Any]:
    for name in names:
        if name in arrays:
            return arrays[name]
    said = f"{path} has no array `{names[0]}`, only {', '.join(arrays) or 'none'}"
    raise DataError(said, f"np.savez(path, {names[0]}=...)")


def _images(arrays: Arrays, path: Path) -> ImageArray:
    images = _pick(arrays, IMAGES, path)
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise DataError(f"{path}: images have shape {images.shape}, expected (N, H, W, 3)")
    if images.dtype == np.uint8:
        return images
    if not np.isfinite(images).all() or images.min(initial=0) < 0 or images.max(initial=0) > 255 or (images % 1).any():
        raise DataError(
            f"{path}: images have type {images.dtype} and values that are not integers from 0 to 255",
            "images = (images * 255).round().astype('uint8')",
        )
    return images.astype(np.uint8)


def _labels(arrays: Arrays, n: int, path: Path) -> IntArray:
    labels = _pick(arrays, LABELS, path)
    if labels.shape not in ((n,), (n, 1)):
        raise DataError(f"{path}: labels have shape {labels.shape}, expected ({n},) or ({n}, 1)")
    flat = labels.reshape(-1)
    if flat.dtype.kind not in "iu" and not (flat.dtype.kind == "f" and (flat % 1 == 0).all()):
        raise DataError(f"{path}: labels are not whole numbers but {flat.dtype}")
    return flat.astype(np.int64)


def _class_names(data: DataConfig, root: Path, labels: IntArray) -> tuple[str, ...]:
    """Names from the file that ``data.classes`` names, or the class numbers; `DataError` where a label has no name."""
    highest = int(labels.max(initial=-1)) + 1
    if labels.min(initial=0) < -1:
        raise DataError(f"a label is {int(labels.min())}; labels start at 0")
    names = named_classes(data, root) or tuple(str(number) for number in range(highest))
    if highest > len(names):
        raise DataError(f"label {highest - 1} has no name: {data.classes} contains {len(names)} names")
    return names


def check_classes(labels: IntArray, classes: tuple[str, ...], what: str) -> None:
    """Raise `DataError` where there are fewer than two classes or one of them has no image."""
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if len(classes) < 2:
        raise DataError(f"{what} has {len(classes)} class; a classifier needs at least two")
    empty = [classes[c] for c in np.flatnonzero(counts == 0)]
    if empty:
        others = f", nor do {len(empty) - 1} others" if len(empty) > 1 else ""
        hint = "remove its name from data.classes, or number the labels without gaps"
        raise DataError(f"{what}: class {empty[0]!r} has no image{others}", hint)
