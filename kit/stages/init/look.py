"""What a project can know of its data before anything is configured: a bounded look, in seconds."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.base.arrays import ImageArray, IntArray
from kit.config import DataConfig
from kit.errors import ConfigError, DataError, KitError
from kit.images.moves import IN_PLACE, ROWS, SIDE, Gains, in_common, judge
from kit.images.sources import BUILT_IN, Part, RawSet, open_source
from kit.images.sources.classes import is_unlabelled
from kit.images.sources.folder import LISTS
from kit.images.sources.forms import read_listing
from kit.images.sources.images import THREADS
from kit.images.sources.npz import PARTS, array_labels
from kit.images.sources.pixel_table import columns_beside, is_pixel_table
from kit.images.sources.table import find_group, find_id, find_label, read_sample, values_of
from kit.runtime import decode
from kit.runtime.answer import NUMBER
from kit.store.arrays import array_names
from kit.store.layout import Layout
from kit.store.record import DIGESTS
from kit.store.tables import Table

# Decoded for the sample: 10 to 20 seconds of a core for JPEG files, however large they are.
PIXELS = 1e9
SEVERAL = '[competition] task = "multilabel"'  # the hint where one class an image was expected
GRADES = re.compile(r"grade|level|stage|severity|score|rating|diagnosis")
SAMPLE = re.compile(r"(sample|example)[ _-]?sub|submission[ _-]?(format|sample|example)")
BLOCK = 4  # neighbouring rows that are read together: few, because neighbours are often alike


@dataclass(frozen=True)
class Seen:
    """``validation``, ``test``, ``truth``, ``sample_submission``: as in ``[data]``, empty where nothing was found."""

    train: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]  # images by class
    height: int  # of the images, in pixels: the median
    width: int
    one_size: bool
    gains: Gains
    in_place: bool = False  # whether what the images show is always in the same place
    group: str = ""  # the column of the training table whose rows share a fold
    validation: str = ""
    test: str = ""
    truth: str = ""
    sample_submission: str = ""
    task: str = ""  # where it is not one class of several an image, and why
    task_why: str = ""
    sample: Table | None = None

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def side(self) -> int:
        """Pixels of the longer side."""
        return max(self.height, self.width)

    @property
    def told(self) -> str:
        """How many images there are, and of what."""
        several = self.task == "multilabel"
        what = f"{'with any' if several else ''} of {len(self.classes)} {'labels' if several else 'classes'}".strip()
        if self.task == "regression":
            what = f"with numbers from {float(self.classes[0]):g} to {float(self.classes[-1]):g}"
        return f"{self.n:,} labelled images {what}"


def look(folder: Path, path: Path, train: str) -> Seen:
    """Read labels, sizes and a sample of the images at ``path``, and what lies beside them; errors as `open_source`."""
    DIGESTS.attach(Layout(folder).digests)  # every file is hashed once, here or by `kit clean`
    sheet = next((file for file in sorted(path.parent.glob("*.csv")) if SAMPLE.search(file.stem.lower())), None)
    table, sample_table = _table(path), read_sample(sheet) if sheet else None
    task, why = task_of(table, sample_table) if table else ("", "")
    named = {"train": str(path), "sample_submission": str(sheet or "")}
    try:
        raw = opened(folder, named, task)
    except KitError as error:
        if task or SEVERAL not in error.hint:
            raise
        task, why = "multilabel", "There are images with several labels."
        raw = opened(folder, named, task)
    if len(raw.classes) == 2 and not task:
        task, why = "binary", "There are two classes."
    sizes = raw.sizes if raw.sizes is not None else np.array([raw.shape])
    known = sizes[sizes.all(axis=1)]
    counts = np.bincount(raw.labels[raw.labels >= 0], minlength=len(raw.classes))
    if not counts.any():
        raise DataError(f"data.train = {train!r}: no image has a label")
    height, width = (int(np.median(side)) for side in known.T) if len(known) else (SIDE, SIDE)
    images, labels = sample(raw, int(min(ROWS, PIXELS / (height * width))))
    return Seen(
        train=train,
        classes=raw.classes,
        counts=tuple(counts.tolist()),
        height=height,
        width=width,
        one_size=len(np.unique(known, axis=0)) == 1,
        gains=judge(images, labels, 0),
        in_place=in_common(images) > IN_PLACE,
        group=find_group(table, find_id(table, "")) if table else "",
        **_others(path, train, task),
        sample_submission=_beside(train, sheet) if sheet else "",
        task=task,
        task_why=why,
        sample=sample_table,
    )


def _table(path: Path) -> Table | None:
    """The table of labels, where they are in one; an array of numbers is one too."""
    if path.suffix.lower() in (".npz", ".npy"):
        labels = array_labels(path, DataConfig(train=str(path)), path.parent)
        if labels.dtype.kind not in "buif" or not labels.size:
            return None
        columns = labels.reshape(len(labels), -1)
        names = ("label",) if columns.shape[1] == 1 else map(str, range(columns.shape[1]))
        rows = ((str(row), *map(str, cells)) for row, cells in enumerate(columns.tolist()))
        return Table(path, ("id", *names), tuple(rows))
    if path.suffix.lower() not in LISTS:
        return None
    return columns_beside(path) if is_pixel_table(path) else read_listing(path)[0]


def task_of(table: Table, sample: Table | None) -> tuple[str, str]:
    """The task that a table of labels suggests where it is not one class an image, and why; else empty."""
    try:
        column = find_id(table, "", sample)
    except ConfigError:
        return "", ""
    try:
        label = find_label(table, "", column, sample)
    except ConfigError:  # no column has classes
        label = ()
    if isinstance(label, str):
        return _task_of_cells(label, table.column(column), table.column(label))
    group = find_group(table, column)
    columns = label or tuple(name for name in table.header if name not in (column, group))
    flags = values_of(table, columns)
    cells = (flags if (flags >= 0).all() else values_of(table, columns, votes=True)).T
    sums, is_flags = cells.sum(axis=0), np.isin(cells, (0, 1)).all()
    if len(columns) < 2 or (cells < 0).any() or (label and is_flags and sums.max() <= 1):
        return "", ""
    if is_flags:
        return "multilabel", f"{len(columns)} columns have 0 or 1 for each label."
    if np.ptp(sums) <= 0.02 * sums.max() or all("vote" in name.lower() for name in columns):
        return "soft", f"{len(columns)} columns have votes or shares of the classes."
    return "", ""


def _task_of_cells(label: str, ids: list[str], cells: list[str]) -> tuple[str, str]:
    if len(set(ids)) < len(ids) == len(set(zip(ids, cells, strict=True))):
        return "multilabel", "Ids are repeated: an image has a line for each of its labels."
    known = [cell for cell in cells if not is_unlabelled(cell)]
    if not all(map(NUMBER.fullmatch, known)):
        return "", ""
    found = sorted({float(cell) for cell in known})
    if any(value % 1 for value in found):
        return "regression", f"The column {label} has numbers that are not whole."
    if GRADES.search(label.lower()) and 2 < len(found) == found[-1] - found[0] + 1:
        return "ordinal", f"The column {label} has the grades {found[0]:g} to {found[-1]:g}."
    return "", ""


def opened(folder: Path, named: dict[str, str], task: str = "") -> RawSet:
    """The training set, files as thumbnails of any size in the file, arrays as they are."""
    data = DataConfig.model_validate(named)
    if data.train not in BUILT_IN:
        small = data.model_copy(update={"image_size": SIDE}).of_task(task or data.task)
        raw = open_source(small, folder, "train")
        if raw.sizes is not None:
            return raw
    return open_source(data.of_task(task or data.task), folder, "train")


def sample(raw: RawSet, n: int) -> tuple[ImageArray, IntArray]:
    """At most ``n`` labelled images from all over the set; raises `DataError` where none of them can be read."""
    starts = np.arange(0, len(raw.ids), BLOCK)
    chosen = np.sort(np.random.default_rng(0).permutation(starts)[: max(n // BLOCK, 1)])
    with decode.quiet(), ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(lambda start: raw.read(start, min(start + BLOCK, len(raw.ids))), chosen.tolist()))
    rows = np.concatenate([np.arange(start, min(start + BLOCK, len(raw.ids))) for start in chosen])
    damaged = {row: problem for _, problems in parts for row, problem in problems.items()}
    if len(damaged) == len(rows):
        row, problem = next(iter(damaged.items()))
        raise DataError(f"none of {len(rows)} images that were looked at can be read; {raw.ids[row]!r}: {problem}")
    usable = (raw.labels[rows] >= 0) & ~np.isin(rows, list(damaged))
    return np.concatenate([images for images, _ in parts])[usable], raw.labels[rows][usable]


def _others(path: Path, train: str, task: str) -> dict[str, str]:
    """The other parts of the data that lie beside the training set; ``truth`` is a test whose images have labels."""
    found: dict[str, str] = {}
    parts: tuple[Part, ...] = ("validation", "truth", "test")
    for part in parts:
        for file in _named_as(part, path) if part == "validation" or "truth" not in found else ():
            with suppress(KitError):
                data = {"train": str(path), part: str(file), "image_size": SIDE}
                raw = open_source(DataConfig.model_validate(data).of_task(task or "multiclass"), path.parent, part)
                if part == "test" or (raw.labels >= 0).all():
                    found[part] = _beside(train, file)
                    break
    return found


def _named_as(part: Part, path: Path) -> Iterator[Path]:
    """Files and folders beside ``path`` that are called like another part: ``val/`` for ``train/``, ``x_test.npy``."""
    words = PARTS[part]
    if path.suffix == ".npz" and any(not set(words).isdisjoint(name.lower().split("_")) for name in array_names(path)):
        yield path
    there = {entry.name.lower(): entry for entry in sorted(path.parent.iterdir())}
    for word in words:
        like = re.sub("training|train", word, path.name.lower())
        shards = [name for name in there if name.startswith(f"{word}-") and name.endswith(".parquet")]
        folders = [re.sub("training|train", word, name) for name in there if "train" in name and there[name].is_dir()]
        for name in (like, f"{word}.npz", f"{word}.csv", f"{word}.tsv", word, f"{word}_images", *folders, *shards):
            if name in there and there[name] != path:
                yield there[name]


def _beside(train: str, path: Path) -> str:
    """What a file or folder that lies beside the training set is called in ``[data]``."""
    return (Path(train).parent / path.name).as_posix()
