"""A folder of images: one folder a class, or, for the test, images in any arrangement."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kit.base.arrays import IntArray
from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources.classes import check_no_columns, named_classes, sorted_names, to_labels
from kit.images.sources.images import ImageRows, open_images
from kit.images.sources.raw import RawSet
from kit.runtime.decode import SUFFIXES


def open_folder(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a folder whose folders are the classes; ids are the paths below it.

    Class folders are sorted by name (by number where all are numbers), or in the order of `data.classes`. Hidden
    files and files with other suffixes than an image's are passed over.

    Raises `DataError` where there are no class folders, or an image lies in none.
    """
    folder = root / Path(spec).expanduser()
    if part == "train":
        check_no_columns(data, f"the folder {spec!r}")
    ids = list(image_files(folder))
    if not ids:
        raise DataError(f"data.{part} = {spec!r}: no image files in this folder", _other_hint(folder, part))
    paths = tuple(folder / name for name in ids)
    if part == "test":
        rows = ImageRows(tuple(ids), paths, np.full(len(ids), -1, np.int64), ())
    else:
        classes = folder_classes(folder, data, root)
        rows = ImageRows(tuple(ids), paths, _labels(ids, folder, part, classes), classes)
    return open_images(rows, data, f"data.{part} = {spec!r}")


def folder_classes(folder: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order."""
    own = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not _passed_over(entry.name)]
    return named_classes(data, root) or sorted_names(own)


def _labels(ids: list[str], folder: Path, part: str, classes: tuple[str, ...]) -> IntArray:
    loose = next((name for name in ids if "/" not in name), None)
    if loose is not None:
        raise DataError(f"{folder / loose} is not in a class folder", _other_hint(folder, part))
    return to_labels([name.split("/", 1)[0] for name in ids], classes, [str(folder / name) for name in ids])


def _other_hint(folder: Path, part: str) -> str:
    tables = sorted(path.name for path in folder.glob("*.csv"))
    return f'[data] {part} = "{folder / tables[0]}"' if tables else "use one subfolder per class, named after the class"


def image_files(folder: Path) -> Iterator[str]:
    """Paths of all image files below ``folder``, relative to it, sorted, with forward slashes."""
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        below = Path(where).relative_to(folder).as_posix()
        for name in sorted(files):
            if not _passed_over(name) and Path(name).suffix.lower() in SUFFIXES:
                yield name if below == "." else f"{below}/{name}"


def _passed_over(name: str) -> bool:
    """Hidden files and what a Mac leaves in zips."""
    return name.startswith(".") or name == "__MACOSX"
