"""Arrays: images and labels in one ``.npz``, or in two ``.npy`` that lie side by side, in any of their usual forms."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from kit.base.arrays import ImageArray, IntArray
from kit.base.tasks import TASKS, Array
from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import group_names, has_column, labelled_names, named_classes, to_labels
from kit.images.sources.folder import SPLITS
from kit.images.sources.raw import RawSet, checked_weights, row_ids
from kit.images.sources.targets import Truth, of_table
from kit.runtime import decode
from kit.store.arrays import array_names, read_array, read_arrays
from kit.store.files import sha256_json
from kit.store.record import digest
from kit.store.tables import Table

ROW = "row of the array"
IMAGES, LABELS = ("images", "data", "x", "image", "pixels"), ("labels", "y", "label", "targets", "target")
# What `np.savez(path, images, labels)` calls them.
UNNAMED: dict[tuple[str, ...], str] = {IMAGES: "arr_0", LABELS: "arr_1"}
# Before or behind these names in a file with several parts: `x_train`, `test_images`, `y_val`.
OTHERS = {"external": SPLITS["train"], "unlabelled": ("unlabelled", "unlabeled")}
PARTS = SPLITS | OTHERS | dict.fromkeys(("test", "truth"), (*SPLITS["test"], "t10k"))
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


def open_npz(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read images (see `readable`) and labels (`labelled`) from one file; nothing else in it is looked at.

    Raises `DataError` where an array is missing or something else, and `ConfigError` where a configured one is missing.
    """
    path = root / Path(spec).expanduser()
    names = array_names(path)
    wanted = [_pick(names, IMAGES, part, path)]
    if part not in UNLABELLED:
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


def array_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order; only the labels are read."""
    labels = array_labels(path, data, root)
    return array_truth(labels, len(np.atleast_1d(labels)), data, root, path).classes


def array_labels(path: Path, data: DataConfig, root: Path) -> Array:
    """The labels of the training set as they are in its file, or beside it."""
    if path.suffix.lower() != ".npz":
        return read_array(_labels_beside(path, data, root, "train"))
    name = _label_name(array_names(path), data, "train", path)
    return read_arrays(path, [name])[name]


def open_npy(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Images from one ``.npy`` or idx file and labels from another; `DataError` where it is missing or damaged."""
    path = root / Path(spec).expanduser()
    files = [path] if part in UNLABELLED else [path, _labels_beside(path, data, root, part)]
    arrays = [read_array(file) for file in files]
    labels = None if part in UNLABELLED else arrays[1]
    return array_set(arrays[0], labels, data, root, path, [digest(file) for file in files])


def array_set(
    images: Array, labels: Array | Table | None, data: DataConfig, root: Path, path: Path, content: Sequence[str]
) -> RawSet:
    """Images and labels as a `RawSet`, the row numbers as ids; ``content`` identifies what they were read from."""
    images, white = readable(images, str(path))
    n = len(images)
    truth = Truth(np.full(n, -1), ()) if labels is None else array_truth(labels, n, data, root, path)
    size, policy = data.image_size, data.resize if data.image_size else ""
    # Only where they are not as usual, so that data that were read before stay fresh.
    scale = [white] if white != 255 else []
    told = [{"label": data.label}] if data.label and labels is not None else []
    task = [data.task] if truth.targets is not None else []
    known: list[object] = [*content, decode.VERSION, size, policy, data.group, data.weight, *scale, *told, *task]
    is_plain = images.dtype == np.uint8 and white == 255

    def read(start: int, stop: int) -> tuple[ImageArray, dict[int, str]]:
        block = images[start:stop] if is_plain else decode.levels(images[start:stop], white)
        if block.shape[-1] == 1:
            block = np.repeat(block, 3, axis=-1)
        block = np.ascontiguousarray(block)
        if block.shape[-1] == 4:
            block = np.stack([decode.to_rgb(Image.fromarray(image)) for image in block])
        if size and block.shape[1:3] != (size, size):
            block = np.stack([decode.resize(image, size, data.resize) for image in block])
        return block, {}

    return RawSet(
        ids=row_ids(n),
        **truth._asdict(),
        task=TASKS[data.task],
        shape=(size, size) if size else images.shape[1:3],
        read=read,
        fingerprint=sha256_json(known),
    )


def array_truth(labels: Array | Table, n: int, data: DataConfig, root: Path, path: Path) -> Truth:
    """The truth in an array: `labelled`, or for another task its columns (N, C), or numbers (N,), as a table's."""
    if isinstance(labels, Table):
        return of_table(labels, data.model_copy(update={"id": labels.header[0]}), root, None)
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

    Numbers are places in the file ``data.classes``, or themselves the names. Raises `DataError` where they are neither.
    """
    if labels.ndim == 2 and labels.shape[1] > 1 and len(labels) == n and labels.dtype.kind in "buif":
        if not ((labels == 0) | (labels == 1)).all() or (labels.sum(axis=1) != 1).any():
            raise DataError(f"{path}: labels have shape {labels.shape}, but not a single 1 and zeros in every row")
        labels = labels.argmax(axis=1)
    flat, named = _one_a_row(labels, n, f"{path}: labels"), named_classes(data, root)
    if flat.dtype.kind in "US":
        # In another encoding than UTF-8 two names stay two.
        text = np.char.decode(flat, "utf-8", "backslashreplace") if flat.dtype.kind == "S" else flat
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
    words = re.split("[_-]", path.stem.lower())
    wanted = {"_".join((*words, label)) for label in LABELS}
    for image, label in product(set(IMAGES).intersection(words), LABELS):
        wanted.add("_".join(label if word == image else word for word in words))
    found = [file for file in sorted(path.parent.glob("*.npy")) if file.stem.lower().replace("-", "_") in wanted]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} files of labels" if found else "no file of labels, such as y_train.npy for x_train.npy,"
    raise DataError(f"{path}: {what} beside it", f'[data] label = "{path.parent / "labels.npy"}"')


def _one_a_row(values: Array, n: int, where: str) -> Array:
    if values.shape not in ((n,), (n, 1)):
        raise DataError(f"{where} have shape {values.shape}, expected ({n},) or ({n}, 1)")
    return values.reshape(-1)


def readable(images: Array, where: str) -> tuple[Array, int]:
    """``images`` as (N, H, W, C) with C in `CHANNELS`, not copied, and the value that is white in all of them.

    Raises `DataError` where they have no shape of docs/data.md or no known scale of values; ``where`` they stand.
    """
    shape = images.shape
    if images.ndim == 2 and images.size:
        images = _squares(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[-1] not in CHANNELS and images.shape[1] in CHANNELS:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[-1] not in CHANNELS or 0 in images.shape:
        raise DataError(f"{where}: images have shape {shape}, expected (N, H, W, 3) or (N, H, W)")
    if images.dtype == np.uint8 and images.max() > 1:
        return images, 255
    try:
        return images, decode.white_of(images, (1, 255, 65535), slack=0.5)
    except decode.Unreadable as error:
        low, high = (images.min(), images.max()) if images.dtype.kind in "if" else (0, 0)
        scaled = "(images + 1) / 2" if -1 <= low < 0 < high <= 1 else "(images - images.min()) / np.ptp(images)"
        scaled = scaled if math.isfinite(low + high) else "np.nan_to_num(images, posinf=0, neginf=0)"
        raise DataError(f"{where}: {error}", f"images = {scaled}") from error


def _squares(rows: Array) -> Array:
    """Rows of values as square images: (N, H, H, 3) or (N, 3, H, H) where they are three squares, else (N, H, H).

    CIFAR writes a row channel by channel, tables of pixels value by value: in the right order neighbours are alike.
    """
    side, colour = math.isqrt(rows.shape[1]), math.isqrt(rows.shape[1] // 3)
    if side * side == rows.shape[1]:
        return rows.reshape(-1, side, side)
    if 3 * colour * colour != rows.shape[1]:
        return rows
    orders = [rows.reshape(-1, colour, colour, 3), rows.reshape(-1, 3, colour, colour).transpose(0, 2, 3, 1)]
    return min(orders, key=lambda images: float(np.abs(np.diff(images[:100].astype(float), axis=2)).mean()))
