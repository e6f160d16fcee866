"""A folder of images: one folder a class, or, for the test, images in any arrangement."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from kit.base.text import some
from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import ConfigError, DataError
from kit.images.sources.classes import named_classes, sorted_names, to_labels
from kit.images.sources.images import open_images
from kit.images.sources.raw import RawSet, Rows
from kit.runtime.names import SUFFIXES
from kit.store.files import is_litter

# What the folders of a data set are called that is split already, by the part that each is for.
SPLITS = {
    "train": ("train", "training", "trn"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
BESIDE = {"", "image", "images", "img", "imgs", "set", "data"}
# What a set of images may be handed out as beside a folder.
LISTS = (".csv", ".tsv", ".parquet", ".npz", ".json", ".jsonl")
# Arrays of images, MNIST's files too; labels lie beside them.
ARRAYS = re.compile(r"idx3-ubyte|^(?!.*(label|target)|(.*_)?y(_.*)?\.).*\.npy$")
# Labels in file names: what stands before the number.
USUAL_PATTERN = r"^(.+?)[._ -]*\d+\.\w+$"


def open_folder(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a folder whose folders are the classes; ids are the paths below it.

    Where `data.label` is a regular expression, the class is what its group finds in the path instead. Raises
    `DataError` where an image lies in no class folder, or the folders are the parts of a set that is split already.
    """
    folder, pattern = root / Path(spec).expanduser(), _pattern(data, root)
    passed: Counter[str] = Counter()
    ids = list(image_files(folder, passed))
    if not ids:
        others = f"; {told(passed)}" if passed else ""
        raise DataError(f"data.{part} = {spec!r}: no image files in this folder{others}", _other_hint(folder, part))
    paths = tuple(folder / name for name in ids)
    classes, labels = tuple[str, ...](), np.full(len(ids), -1, np.int64)
    if part not in UNLABELLED:
        classes = folder_classes(folder, data, root)
        inside = _inside(folder)
        if part == "train" and inside != folder and len(_folders_in(inside)) > 1 and not pattern:
            hint = f'[data] train = "{inside}"'
            raise DataError(f"{folder} contains a single folder, and {inside.name!r} in it the class folders", hint)
        values = _written(ids, pattern) if pattern else _folders_of(ids, folder, part)
        labels = to_labels(values, classes, [str(path) for path in paths])
    notes = () if part in UNLABELLED or pattern else _deeper(ids)
    rows = Rows(ids=tuple(ids), labels=labels, classes=classes, notes=notes)
    return replace(open_images(rows, paths, data, f"data.{part} = {spec!r}"), passed_over=passed)


def folder_classes(folder: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order; raises `DataError` where the folders are no classes."""
    if pattern := _pattern(data, root):
        return named_classes(data, root) or sorted_names(_written(list(image_files(folder)), pattern))
    _check_not_split(folder)
    return named_classes(data, root) or sorted_names(_folders_in(folder))


def _folders_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_litter(entry.name))


def _inside(folder: Path) -> Path:
    """The folder below those that hold nothing but one folder, as archives are often unpacked."""
    while len(own := _folders_in(folder)) == 1 and _folders_in(folder / own[0]):
        folder = folder / own[0]
    return folder


def _check_not_split(folder: Path) -> None:
    """Refuse `train/`, `val/` and `test/` as classes, also below a folder that is alone."""
    folder = _inside(folder)
    own = _folders_in(folder)
    # ``train`` of ``train_images``, ``Train2017`` and, where the other parts have the same word, ``seg_train``.
    words = {name: set(re.split("[^a-z]+", name.lower())) - BESIDE for name in reversed(own)}
    parts: dict[frozenset[str], dict[str, str]] = {}
    for (name, of), (part, known) in product(words.items(), SPLITS.items()):
        if len(of.intersection(known)) == 1:
            parts.setdefault(frozenset(of.difference(known)), {})[part] = name
    found = next((found for found in parts.values() if "train" in found and len(found) > 1), None)
    if found:
        hint = _other_hint(folder, "train")
        if _folders_in(folder / found["train"]):
            also = f'   # and validation = "{folder / found["validation"]}"' if "validation" in found else ""
            hint = f'[data] train = "{folder / found["train"]}"{also}'
        names = ", ".join(f"{name}/" for name in own[:8])
        raise DataError(f"{folder} is split already: its folders {names} are not classes", hint)


def _folders_of(ids: Sequence[str], folder: Path, part: str) -> list[str]:
    loose = [name for name in ids if "/" not in name]
    if loose:
        hint = _other_hint(folder, part)
        with suppress(ConfigError):
            # As `cat.0.jpg` and `great_pyrenees_12.jpg`: several images a class, and nothing that does not fit.
            if part == "train" and 1 < len(set(_written(loose, USUAL_PATTERN))) < len(loose):
                hint = f"[data] label = '{USUAL_PATTERN}'"
        raise DataError(f"{folder / loose[0]} is not in a class folder", hint)
    return [name.split("/", 1)[0] for name in ids]


def _deeper(ids: Sequence[str]) -> tuple[str, ...]:
    """A note where the folders in the class folders may be the classes: they are called alike in all, as where sites
    come first, or are words, as in ``animals/cat``; patients have numbers."""
    below = defaultdict[str, set[str]](set)
    for name in ids:
        first, *rest = name.split("/")
        below[first].add(rest[0] if len(rest) > 1 else "")
    inner = set.union(*below.values())
    alike, words = all(inner == own for own in below.values()), not any(re.search(r"\d", name) for name in inner)
    if len(below) < 2 or len(inner) < 2 or "" in inner or not (alike or words):
        return ()
    said = f"the classes {some(below)} contain the folders {some(sorted(inner))}"
    return (f"{said}: if these are the classes, [data] label = '^[^/]+/([^/]+)/'",)


def _pattern(data: DataConfig, root: Path) -> str:
    """`data.label` where it is a regular expression, else empty: of a training table it is a column."""
    return data.label if "(" in data.label and (root / Path(data.train).expanduser()).is_dir() else ""


def _written(ids: Sequence[str], pattern: str) -> list[str]:
    """What the first group of ``pattern`` finds in every path; `ConfigError` where it finds nothing in one."""
    try:
        found = [re.search(pattern, name) for name in ids]
        values = [match.group(1) or "" if match else "" for match in found]
    except (re.error, IndexError) as error:
        raise ConfigError(f"data.label = {pattern!r} is not a regular expression with a group: {error}") from error
    if "" in values:
        raise ConfigError(f"data.label = {pattern!r} finds no class in {ids[values.index('')]!r}")
    return values


def _other_hint(folder: Path, part: str) -> str:
    """What in the folder or the folders in it is likely meant: what is called like the part, tables first."""
    kinds: tuple[Callable[[Path], bool], ...] = (
        lambda entry: entry.suffix.lower() in LISTS,
        lambda entry: entry.is_dir() and entry.stem.lower() in own,
        lambda entry: ARRAYS.search(entry.name.lower()) is not None,
    )
    own, others = SPLITS.get(part, (part,)), {word for of, words in SPLITS.items() if of != part for word in words}
    others |= {"sample", "samplesubmission"}
    for where in (folder, *(folder / name for name in _folders_in(folder))):
        for is_one in kinds:
            entries = sorted(filter(is_one, where.iterdir()))
            found = {entry: set(re.split("[^a-z]+", entry.stem.lower())) for entry in entries}
            named = [entry for entry, words in found.items() if not words.isdisjoint(own)]
            named += [entry for entry, words in found.items() if words.isdisjoint(others)]
            if named:
                return f'[data] {part} = "{named[0]}"'
    return (
        f'[data] {part} = "a folder of images"' if part in UNLABELLED else "use one subfolder per class, named after it"
    )


def image_files(folder: Path, passed: Counter[str] | None = None) -> Iterator[str]:
    """Sorted paths of image files below ``folder``, with forward slashes; ``passed`` counts other files by suffix."""
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        below = Path(where).relative_to(folder).as_posix()
        for name in sorted(name for name in files if not is_litter(name)):
            suffix = Path(name).suffix.lower()
            if suffix in SUFFIXES:
                yield name if below == "." else f"{below}/{name}"
            elif passed is not None:
                passed[suffix] += 1


def told(passed: Mapping[str, int]) -> str:
    """What was passed over, in words: ``3 files have no suffix of an image: 2 .svg, 1 without``."""
    listed = ", ".join(f"{n} {suffix or 'without'}" for suffix, n in Counter(passed).most_common(8))
    files = sum(passed.values())
    return f"{files} {'file has' if files == 1 else 'files have'} no suffix of an image: {listed}"
