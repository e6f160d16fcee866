"""What predictions are held against: labels, folds and groups of rows, of a project or of a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.base.arrays import IntArray
from kit.config import Config
from kit.errors import DataError
from kit.images.sources.classes import is_unlabelled, labelled_names, to_labels
from kit.runtime.names import number, whole
from kit.store.data import Index, load_index, load_record, load_test_ids, load_test_record
from kit.store.layout import Layout
from kit.store.partition import NEVER, load_folds
from kit.store.tables import read_table


@dataclass(frozen=True, eq=False)
class Known:
    """Rows whose classes are known; ``fold`` (N,) is `NEVER` where a row is never held out.

    ``orders`` are others in which an array without ids may have the rows, ``test_orders`` those of test images.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    y: IntArray
    fold: IntArray
    groups: npt.NDArray[np.str_]
    orders: Sequence[Sequence[str]] = ()
    test_orders: Sequence[Sequence[str]] = ()

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """(N,) which rows have an out-of-fold prediction."""
        return np.asarray(self.fold != NEVER)

    @property
    def held_ids(self) -> list[str]:
        """The ids of these rows."""
        return [name for name, is_held in zip(self.ids, self.held, strict=True) if is_held]


def of_project(layout: Layout, config: Config) -> Known:
    """The rows of a project, and its split."""
    index = load_index(layout)
    index.classes_only("predictions from files", "kit ensemble   # blends the runs of the project")
    return Known(
        ids=index.ids,
        classes=index.classes,
        y=index.labels,
        fold=load_folds(layout, config, index).fold,
        groups=np.array(index.groups),
        orders=_raw_order(layout, index),
        test_orders=[load_test_ids(layout)] if load_test_record(layout) else [],
    )


def _raw_order(layout: Layout, index: Index) -> list[list[str]]:
    """The rows of the raw data in their order, where their ids are the numbers of the rows: an array of images."""
    raw = load_record(layout).raw
    numbers = [-1 if row is None else row for row in map(whole, index.ids)]
    # Numbers in another order are the ids of a table, whose rows an array is in.
    inside, ascending = all(0 <= row < raw for row in numbers), numbers == sorted(set(numbers))
    return [[str(row) for row in range(raw)]] if inside and ascending else []


def of_table(path: Path) -> Known:
    """The rows of a table with the columns ``id``, ``label`` and ``fold``, and ``group`` where rows belong together.

    A missing or negative fold is that of a row that no member predicts out of fold. The classes are those that occur.

    Raises `ConfigError` where a column is missing, `DataError` where an id stands twice or a row has no label.
    """
    table = read_table(path)
    ids, names, fold = (table.column(name) for name in ("id", "label", "fold"))
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: id {twice[0]!r} appears twice")
    classes = labelled_names(names)
    y = to_labels(names, classes, [table.line(row) for row in range(len(ids))])
    missing = np.flatnonzero(y < 0)
    if len(missing):
        raise DataError(f"{table.line(int(missing[0]))} has no label ({len(missing)} such rows)")
    held = [not is_unlabelled(cell) for cell in fold]
    if not any(held):
        raise DataError(f"{path}: no row has a fold")
    groups = table.column("group") if "group" in table.header else [""] * len(ids)
    numbers = np.where(held, np.unique([number(cell) for cell in fold], return_inverse=True)[1], NEVER)
    return Known(tuple(ids), classes, y, numbers, np.array(groups))
