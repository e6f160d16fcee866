"""Where images come from: one table, one reader for training, test, external and hidden images.

A source is a function ``open(spec, data, root, part) -> RawSet`` and one that gives its class names alone; adding
one is a file and a line in `BUILT_IN` or `BY_SUFFIX`. Sources only read; nothing outside ``data/`` is ever opened
for writing.
"""

from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

import numpy as np

from kit.base.tasks import TASKS
from kit.base.text import some
from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import finder
from kit.images.sources.folder import image_files
from kit.images.sources.pixel_table import is_pixel_table
from kit.images.sources.raw import RawSet, without_label
from kit.images.sources.targets import truth_of
from kit.runtime.names import whole
from kit.store.tables import LONGEST

__all__ = ["BUILT_IN", "BY_SUFFIX", "Part", "RawSet", "is_rest_of_train", "open_source", "training_classes"]

Part = Literal["train", "validation", "test", "truth", "external", "unlabelled"]

BUILT_IN: dict[str, str] = {
    "practice": "kit.images.sources.generated:open_practice",
    "digits": "kit.images.sources.generated:open_digits",
}
BY_SUFFIX: dict[str, tuple[str, str]] = {
    ".npz": ("kit.images.sources.npz:open_npz", "kit.images.sources.npz:array_classes"),
    **dict.fromkeys((".npy", "idx"), ("kit.images.sources.npz:open_npy", "kit.images.sources.npz:array_classes")),
    **dict.fromkeys(
        (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet"),
        ("kit.images.sources.listed:open_csv", "kit.images.sources.listed:csv_classes"),
    ),
    "pixels": ("kit.images.sources.pixel_table:open_pixels", "kit.images.sources.pixel_table:pixel_classes"),
    "folder": ("kit.images.sources.folder:open_folder", "kit.images.sources.folder:folder_classes"),
}
NO_COLUMNS = ("folder", ".npy", "idx")  # sources that have neither groups nor weights
PACKED = (".zip", ".7z", ".tar", ".gz", ".tgz", ".rar")


def open_source(data: DataConfig, root: Path, part: Part) -> RawSet:
    """Open the images that ``[data]`` names for ``part``; a relative path starts at ``root``.

    Labels of other parts are numbered by the classes of the training set, whichever of them they have. Raises
    `DataError` where the files are missing or not what they should be, `ConfigError` where nothing reads them.
    """
    spec = str(getattr(data, part))
    if part == "unlabelled" and is_rest_of_train(data, root):
        return without_label(open_source(data, root, "train"))
    what, kind = f"data.{part} = {spec!r}", spec if spec in BUILT_IN else _kind(spec, root, part)
    for key in ("group", "weight"):
        if part == "train" and kind in NO_COLUMNS and (name := getattr(data, key)):
            raise ConfigError(f"data.{key} = {name!r}, but {spec!r} has no columns", "use a .csv or .npz")
    raw: RawSet = resolve_name(BUILT_IN.get(kind) or BY_SUFFIX[kind][0])(spec, data, root, part)
    if part not in UNLABELLED and TASKS[data.task].kind != "classes" and raw.targets is None:
        said = f"{what} has one class an image, but the task is {data.task}"
        raise ConfigError(said, '[data] train = "train.csv", a table of the labels')
    if len(raw.ids) == 0:
        raise DataError(f"{what} contains no images")
    if part == "train" and data.task == "binary" and len(raw.classes) > 2:
        said = f'the task is binary, but there are {len(raw.classes)} classes: [competition] task = "multiclass"'
        raw = replace(raw, notes=(*raw.notes, said))
    unordered = [name for name in raw.classes if whole(name) is None]
    if part == "train" and data.task == "ordinal" and unordered and not data.classes:
        said = f"task ordinal: the name of the class {unordered[0][:LONGEST]!r} does not say its place in the order"
        raise ConfigError(said, '[data] classes = "classes.txt", a file with their names in order')
    if part in ("train", *UNLABELLED) or spec in BUILT_IN:
        return raw
    return _renumbered(raw, training_classes(data, root), what)


def is_rest_of_train(data: DataConfig, root: Path) -> bool:
    """Whether ``unlabelled`` names what ``train`` does, in whatever way the two paths are written."""
    paths = [(root / Path(spec).expanduser()).resolve() for spec in (data.unlabelled, data.train)]
    return bool(data.unlabelled) and paths[0] == paths[1]


def _renumbered(raw: RawSet, classes: tuple[str, ...], what: str) -> RawSet:
    """The set with labels of these classes; raises `DataError` where an image has another."""
    targets = raw.truth
    if raw.task.kind != "numbers":
        table = np.array([*map(finder(classes), raw.classes), -1], np.int64)  # label -1 stays
        used = raw.labels[raw.labels >= 0] if raw.targets is None else np.flatnonzero(targets.any(axis=0))
        for label in np.unique(used).tolist():
            if table[label] < 0:
                said = f"class {raw.classes[label][:100]!r} is not in the training set, which has {some(classes)}"
                raise DataError(f"{what}: {said}")
        if raw.targets is None:
            return replace(raw, classes=classes, labels=table[raw.labels])
        targets = np.zeros((len(raw.ids), len(classes) + 1), raw.targets.dtype)
        targets[:, table[:-1]] = raw.targets  # classes without an image, which the training set lacks, come last
        targets = targets[:, :-1]
    truth = truth_of(raw.task, targets, raw.labels >= 0, classes)
    return replace(raw, classes=classes, labels=truth.labels, targets=truth.targets)


def training_classes(data: DataConfig, root: Path) -> tuple[str, ...]:
    """The classes of the training set, in label order, without reading its images where that is possible."""
    if data.train in BUILT_IN:
        return open_source(data, root, "train").classes
    reader = resolve_name(BY_SUFFIX[_kind(data.train, root, "train")][1])
    return tuple(reader(root / Path(data.train).expanduser(), data, root))


def _kind(spec: str, root: Path, part: str) -> str:
    path, what = root / Path(spec).expanduser(), f"data.{part} = {spec!r}"
    if not path.exists():
        raise DataError(f"{what}: no such file or folder", f"give a path, or one of: {', '.join(BUILT_IN)}")
    if path.is_dir():
        is_parquet = any(path.glob("*.parquet")) and next(image_files(path), None) is None
        return ".parquet" if is_parquet else "folder"
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv") and is_pixel_table(path):
        return "pixels"
    if "idx3-ubyte" in path.name:
        return "idx"
    if suffix in PACKED:
        unpacked = Path(spec)
        while unpacked.suffix.lower() in PACKED:
            unpacked = unpacked.with_suffix("")
        hint = f'[data] {part} = "{unpacked}", once it is unpacked there'
        raise ConfigError(f"{what} has to be unpacked first", hint)
    if suffix not in BY_SUFFIX:
        known = ", ".join(name for name in BY_SUFFIX if name.startswith("."))
        raise ConfigError(f"{what}: {suffix!r} is not supported", f"use one of: a folder, {known}")
    return suffix
