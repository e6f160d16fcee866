"""Arrays in one ``.npz``: ``images`` uint8 (N, H, W, 3) and ``labels`` (N,) or (N, 1)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kit.config import DataConfig
from kit.errors import DataError
from kit.files import sha256_file
from kit.records import ImageArray, IntArray
from kit.sources.raw import RawSet, row_ids


def open_npz(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read images and labels from one file, as the blood-cell challenge handed them out.

    ``images`` may be called ``data``, ``x`` or ``X`` as well, ``labels`` also ``y``; the test part needs none.

    Raises
    ------
    DataError
        Where an array is missing, has another shape or type, or a label is not a class number.
    """
    path = root / Path(spec).expanduser()
    arrays = _load(path)
    images = _images(arrays, path)
    labels = np.full(len(images), -1, np.int64) if part == "test" else _labels(arrays, len(images), path)
    return RawSet(
        ids=row_ids(len(images)),
        labels=labels,
        classes=class_names(data, root, labels),
        shape=images.shape[1:3],
        read=lambda start, stop: (images[start:stop], {}),
        fingerprint=sha256_file(path),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as npz: {error}") from error


def _pick(arrays: dict[str, Any], names: tuple[str, ...], path: Path) -> Any:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise DataError(
        f"{path} has no array `{names[0]}`, only {', '.join(arrays) or 'none'}",
        f"np.savez(path, {names[0]}=...)",
    )


def _images(arrays: dict[str, Any], path: Path) -> ImageArray:
    images = _pick(arrays, ("images", "data", "x", "X"), path)
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise DataError(f"{path}: images have shape {images.shape}, expected (N, H, W, 3)")
    if images.dtype == np.uint8:
        return images  # type: ignore[no-any-return]
    if not np.isfinite(images).all() or images.min(initial=0) < 0 or images.max(initial=0) > 255 or (images % 1).any():
        raise DataError(
            f"{path}: images have type {images.dtype} and values outside whole numbers from 0 to 255",
            "images = (images * 255).round().astype('uint8')",
        )
    return images.astype(np.uint8)  # type: ignore[no-any-return]


def _labels(arrays: dict[str, Any], n: int, path: Path) -> IntArray:
    labels = _pick(arrays, ("labels", "y", "label"), path)
    if labels.shape not in ((n,), (n, 1)):
        raise DataError(f"{path}: labels have shape {labels.shape}, expected ({n},) or ({n}, 1)")
    flat = labels.reshape(-1)
    if flat.dtype.kind not in "iu" and not (flat.dtype.kind == "f" and (flat % 1 == 0).all()):
        raise DataError(f"{path}: labels are not whole numbers but {flat.dtype}")
    return flat.astype(np.int64)  # type: ignore[no-any-return]


def class_names(data: DataConfig, root: Path, labels: IntArray) -> tuple[str, ...]:
    """Names from the file that ``data.classes`` names, one a line, or the class numbers.

    Raises
    ------
    DataError
        Where a label has no name, or a class has no image.
    """
    highest = int(labels.max(initial=-1)) + 1
    if labels.min(initial=0) < -1:
        raise DataError(f"a label is {int(labels.min())}; labels start at 0")
    if not data.classes:
        names = tuple(str(number) for number in range(highest))
    else:
        path = root / Path(data.classes).expanduser()
        if not path.is_file():
            raise DataError(f"data.classes = {data.classes!r}: no such file")
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if highest > len(names):
        raise DataError(f"label {highest - 1} has no name: {data.classes} holds {len(names)} names")
    return names


def check_classes(labels: IntArray, classes: tuple[str, ...], what: str) -> None:
    """Raise `DataError` where there are fewer than two classes or one of them has no image."""
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    if len(classes) < 2:
        raise DataError(f"{what} has {len(classes)} class; a classifier needs two")
    empty = [classes[c] for c in np.flatnonzero(counts == 0)]
    if empty:
        raise DataError(
            f"{what}: class {empty[0]!r} has no image"
            + (f", nor do {len(empty) - 1} others" if len(empty) > 1 else ""),
            "remove its name from data.classes, or number the labels without gaps",
        )
