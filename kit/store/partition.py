"""The split as every stage reads it: which rows each unit of training holds out, verified at every load."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.config import Config
from kit.errors import StageError
from kit.store.data import Index
from kit.store.files import read_csv, sha256_json
from kit.store.layout import Layout
from kit.store.record import Made

NEVER = -1


class FoldsRecord(Made):
    """``folds/<name>.json``: how the table beside it was made; another value of ``[folds]`` needs another table."""

    VERSION: ClassVar[int] = 3
    OLDER: ClassVar[tuple[int | None, ...]] = (None,)
    COMMAND: ClassVar[str] = "kit folds --reset   # or, to keep the folds of the file as it is now: kit folds --force"

    method: Literal["k-fold", "hold-out"]
    n: int
    repeats: int
    seed: int
    classes: tuple[str, ...]
    balance: tuple[tuple[int, ...], ...]  # (n, C) images of each class in each fold of the first repeat


@dataclass(frozen=True, eq=False)
class Folds:
    """A verified split."""

    table: IntArray  # (R, N) fold of each row in each repeat; -1 = never held out (a hold-out split)
    n: int  # folds of one repeat that are held out
    digest: str  # of the folds of all ids

    @property
    def units(self) -> int:
        """How many networks a run trains: the folds of all repeats."""
        return self.n * len(self.table)

    @property
    def fold(self) -> IntArray:
        """(N,) the first repeat, over which the blend is cross-validated."""
        return np.asarray(self.table[0])

    @property
    def validated(self) -> npt.NDArray[np.bool_]:
        """(N,) which rows have an out-of-fold prediction."""
        return np.asarray(self.fold != NEVER)


def held_out(table: IntArray, unit: int) -> npt.NDArray[np.bool_]:
    """(N,) which rows the unit ``unit`` does not train on: fold ``unit mod n`` of repeat ``unit div n``."""
    n = int(table.max()) + 1
    return np.asarray(table[unit // n] == unit % n)


def columns(repeats: int) -> list[str]:
    """Names of the columns of the table: `fold`, then `fold_1` and so on for repeats."""
    return ["fold", *(f"fold_{number}" for number in range(1, repeats))]


def read_table(path: Path, ids: tuple[str, ...]) -> IntArray:
    """The table (R, N) in the order of ``ids``; raises `StageError` where it is damaged, or of other rows."""
    lines = {line.get("id"): line for line in read_csv(path)}
    if set(lines) != set(ids):
        raise StageError(f"{path} does not match the rows of the current data", "kit folds")
    names = [name for name in next(iter(lines.values())) if name == "fold" or name.startswith("fold_")]
    try:
        return np.array([[int(lines[name][column]) for name in ids] for column in names], np.int64)
    except (TypeError, ValueError) as error:
        raise StageError(f"{path}: a fold is not a whole number: {error}", FoldsRecord.COMMAND) from None


def table_digest(ids: tuple[str, ...], table: IntArray) -> str:
    """Digest of the folds of all ids, whatever else stands in the file."""
    return sha256_json([ids, table.tolist()])


def verify_folds(index: Index, table: IntArray, n: int) -> None:
    """Raise `StageError` unless each repeat is a partition with no group in two folds and no fold empty."""
    for fold in table:
        if fold.shape != index.labels.shape or fold.min() < NEVER or fold.max() >= n:
            raise StageError(f"the folds are not a partition of the {len(index.ids)} rows", "kit folds --reset")
        owner: dict[str, int] = {}
        for name, group, number in zip(index.ids, index.groups, fold.tolist(), strict=True):
            if owner.setdefault(group, number) != number:
                two = f"{owner[group]} and {number}"
                raise StageError(f"group {group!r} is in folds {two} (id {name!r})", "kit folds --reset")
        groups, joined = len(set(index.groups)), '[data] group = ""   # or [clean] near = "keep"'
        if n == 1 and NEVER not in fold:
            raise StageError(f"all rows are held out, and none is left for training: groups of rows: {groups}", joined)
        empty = sorted(set(range(n)) - set(fold.tolist()))
        if empty:
            fewer = f"[folds] n = {groups}" if groups > 1 else joined
            said = f"fold {empty[0]} of {n} is empty; groups of rows: {groups}"
            raise StageError(said, fewer if groups < n else "kit folds --reset")


def load_folds(layout: Layout, config: Config, index: Index) -> Folds:
    """The current split, verified; `StageError` where it is missing, changed, of other data, or splits a group."""
    path, record = layout.folds_table(config.folds.name), layout.folds_manifest(config.folds.name)
    for file in (record, path):
        if not file.exists():
            raise StageError(f"{file} is missing", "kit folds")
    FoldsRecord.load(record).check(record.parent)
    table = read_table(path, index.ids)
    n = config.folds.held_out
    verify_folds(index, table, n)
    return Folds(table, n, table_digest(index.ids, table))
