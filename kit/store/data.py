"""The cleaned data as every later stage reads them, and the records of the files that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from kit.base.arrays import ImageArray, IntArray
from kit.base.tasks import ONE_CLASS, TASKS, Array, Flat, Task
from kit.errors import DataError
from kit.store.encoded import open_images
from kit.store.files import read_csv, sha256_json
from kit.store.layout import Layout
from kit.store.record import DIGESTS, Digests, Made

# Roles of rows in ``data/index.csv`` beside `train`: of the data set's own validation split, and of external images.
GIVEN, EXTERNAL = "validation", "train-only"


class DataRecord(Made):
    """``data/manifest.json``: the training images, their labels and groups.

    ``parts`` are digests of the content of ``images``, ``labels``, ``groups``, ``weights`` and ``classes``, so that a
    stage can name what it depends on and nothing else; see `Index`.
    """

    VERSION: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int | None, ...]] = (1,)
    COMMAND: ClassVar[str] = "kit clean --force"

    raw: int  # images before cleaning
    kept: int  # and after it
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # (H, W, 3)
    parts: Digests

    @property
    def task(self) -> Task:
        """What is asked of the images; its name stands in ``parts`` where that is not one class."""
        return TASKS[self.parts.get("task", ONE_CLASS.name)]


class UnlabelledRecord(Made):
    """``data/test.json``: the images to predict; ``data/unlabelled.json``: others that students learn from."""

    COMMAND: ClassVar[str] = "kit clean --force"

    n: int

    @property
    def images(self) -> str:
        """Digest of ids and images: what their predictions depend on."""
        return sha256_json(self.files)


@dataclass(frozen=True, eq=False)
class DataRows:
    """Images in the order of ``data/images.npy``."""

    ids: tuple[str, ...]
    labels: IntArray  # (N,), or `Task.strata` of the truth
    groups: tuple[str, ...]  # rows with the same group must share a fold
    weights: npt.NDArray[np.float32]  # (N,) of each row in the loss
    targets: Array | None = field(default=None, kw_only=True)  # `truth` where that is not the labels

    @property
    def truth(self) -> Array:
        """What metrics are given, see `kit.base.tasks`."""
        return self.labels if self.targets is None else self.targets


@dataclass(frozen=True, eq=False)
class Index(DataRows):
    """One entry a row of ``data/images.npy`` but for its last ones, the train-only rows, which stand in ``extra``."""

    extra: DataRows  # rows N, N + 1 ... of the array: external images, trained on and never validated on
    given: tuple[int, ...]  # the rows of the data set's own validation split
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # (H, W, 3)
    parts: Digests  # see `DataRecord`
    task: Task = field(default=ONE_CLASS, kw_only=True)

    def truth_of(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> Array:
        """The truth of ids; raises `DataError` where an id is not in the data."""
        return np.asarray(self.truth[self.rows_of(ids)])

    def flat(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> Flat:
        """Rows of one class each that stand for the rows of ids."""
        return self.task.flat(self.truth_of(ids), self.classes)

    @property
    def split(self) -> Digests:
        """What a split depends on."""
        return {name: self.parts[name] for name in ("labels", "groups")}

    @property
    def training(self) -> str:
        """Digest of what training depends on beside the folds: not the names of the classes.

        Groups count where there are train-only rows: one that shares a group with a held-out row is left out.
        """
        names = ("images", "labels", "weights", *(("groups",) if self.extra.ids else ()))
        return sha256_json([*(self.parts[name] for name in names), len(self.classes)])

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows_of(self, ids: Sequence[str] | npt.NDArray[np.str_]) -> IntArray:
        """(n,) rows of ids; raises `DataError` where an id is not in the data."""
        try:
            return np.array([self._row_of[str(name)] for name in ids], np.int64)
        except KeyError as error:
            raise DataError(f"id {error.args[0]!r} is not in the cleaned data", "kit train") from None


def load_record(layout: Layout) -> DataRecord:
    """The record of the training data; raises `StageError` where there is none or it cannot be trusted."""
    DIGESTS.attach(layout.digests)
    return DataRecord.load(layout.data_manifest, "" if layout.data_manifest.exists() else "kit clean")


def load_index(layout: Layout) -> Index:
    """Read ``data/index.csv``.

    Raises `StageError` where the data are missing, or a file is not the one that `kit clean` wrote.
    """
    record = load_record(layout)
    record.check(layout.data, "", layout.index.name)
    return _parsed(layout.index, record.model_dump_json())


@lru_cache(maxsize=2)
def _parsed(path: Path, text: str) -> Index:
    """The index of a record's ``text``: a stage asks for it many times, and it may have a hundred thousand lines."""
    record = DataRecord.model_validate_json(text)
    lines = read_csv(path)
    n, task, classes = sum(line["role"] != EXTERNAL for line in lines), record.task, record.classes
    return Index(
        **vars(_rows(lines[:n], task, len(classes))),
        extra=_rows(lines[n:], task, len(classes)),
        given=tuple(row for row, line in enumerate(lines[:n]) if line["role"] == GIVEN),
        classes=classes,
        shape=record.shape,
        parts=record.parts,
        task=task,
    )


def _rows(lines: list[dict[str, str]], task: Task, classes: int) -> DataRows:
    targets = None if task.kind == "classes" else task.of_texts([line["target"] for line in lines], classes)
    return DataRows(
        ids=tuple(line["id"] for line in lines),
        labels=np.array([int(line["label"]) for line in lines], np.int64),
        targets=targets,
        groups=tuple(line["group"] for line in lines),
        weights=np.array([float(line.get("weight", 1)) for line in lines], np.float32),
    )


def load_images(layout: Layout) -> ImageArray:
    """The images, those of the index and then the extra ones, see `open_images`; raises `StageError` where damaged."""
    load_record(layout).check(layout.data, "", layout.images.name)
    return open_images(layout.images)


def unlabelled_record(layout: Layout, part: str) -> UnlabelledRecord | None:
    """The record of a part's images, or None where the competition gives none; raises `StageError` where damaged."""
    DIGESTS.attach(layout.digests)
    path = layout.manifest_of(part)
    return UnlabelledRecord.load(path) if path.exists() else None


def unlabelled_images(layout: Layout, part: str) -> ImageArray | None:
    """The images of a part, read-only, or None where the competition gives none."""
    record, path = unlabelled_record(layout, part), layout.images_of(part)
    if record is None:
        return None
    record.check(layout.data, "", path.name, layout.index_of(part).name)
    return open_images(path)


def unlabelled_ids(layout: Layout, part: str) -> tuple[str, ...]:
    """Ids of the images of a part, in the order of the array."""
    return tuple(row["id"] for row in read_csv(layout.index_of(part)))


def digest_of_parts(layout: Layout, parts: Sequence[str]) -> str:
    """What depends on the images without labels of ``parts`` depends on this; empty where there are none."""
    found = [record.images for part in parts if (record := unlabelled_record(layout, part))]
    return sha256_json(found) if len(found) > 1 else "".join(found)
