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
from kit.errors import DataError, KitError
from kit.images.moves import ROWS, SIDE, Gains, judge
from kit.images.sources import BUILT_IN, Part, RawSet, open_source
from kit.images.sources.folder import LISTS
from kit.images.sources.forms import read_listing
from kit.images.sources.images import THREADS
from kit.images.sources.npz import PARTS
from kit.images.sources.pixel_table import is_pixel_table
from kit.images.sources.table import find_group, find_id, read_sample
from kit.runtime import decode
from kit.store.arrays import array_names
from kit.store.digests import DIGESTS
from kit.store.layout import Layout
from kit.store.tables import Table

# Decoded for the sample: 10 to 20 seconds of a core for JPEG files, however large they are.
PIXELS = 1e9
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
    group: str = ""  # the column of the training table whose rows share a fold
    validation: str = ""
    test: str = ""
    truth: str = ""
    sample_submission: str = ""
    sample: Table | None = None

    @property
    def n(self) -> int:
        return sum(self.counts)

    @property
    def side(self) -> int:
        """Pixels of the longer side."""
        return max(self.height, self.width)


def look(folder: Path, path: Path, train: str) -> Seen:
    """Read labels, sizes and a sample of the images at ``path``, and what lies beside them.

    ``folder`` is that of the project, whose ``[data] train`` is ``train``. Raises the errors of `open_source`.
    """
    DIGESTS.attach(Layout(folder).digests)  # every file is hashed once, here or by `kit clean`
    raw = opened(folder, str(path))
    sizes = raw.sizes if raw.sizes is not None else np.array([raw.shape])
    known = sizes[sizes.all(axis=1)]
    counts = np.bincount(raw.labels[raw.labels >= 0], minlength=len(raw.classes))
    if not counts.any():
        raise DataError(f"data.train = {train!r}: no image has a label")
    height, width = (int(np.median(side)) for side in known.T) if len(known) else (SIDE, SIDE)
    images, labels = sample(raw, int(min(ROWS, PIXELS / (height * width))))
    sheet = next((file for file in sorted(path.parent.glob("*.csv")) if SAMPLE.search(file.stem.lower())), None)
    return Seen(
        train=train,
        classes=raw.classes,
        counts=tuple(counts.tolist()),
        height=height,
        width=width,
        one_size=len(np.unique(known, axis=0)) == 1,
        gains=judge(images, labels, 0),
        group=_group(path),
        **_others(path, train),
        sample_submission=_beside(train, sheet) if sheet else "",
        sample=read_sample(sheet) if sheet else None,
    )


def _group(path: Path) -> str:
    """The column, if any, that says which images are of one object."""
    if path.suffix.lower() not in LISTS or path.suffix.lower() == ".npz" or is_pixel_table(path):
        return ""
    table = read_listing(path)[0]
    return find_group(table, find_id(table, ""))


def opened(folder: Path, train: str) -> RawSet:
    """The training set, files as thumbnails of any size in the file, arrays as they are."""
    if train not in BUILT_IN:
        raw = open_source(DataConfig(train=train, image_size=SIDE), folder, "train")
        if raw.sizes is not None:
            return raw
    return open_source(DataConfig(train=train), folder, "train")


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


def _others(path: Path, train: str) -> dict[str, str]:
    """The other parts of the data that lie beside the training set; ``truth`` is a test whose images have labels."""
    found: dict[str, str] = {}
    parts: tuple[Part, ...] = ("validation", "truth", "test")
    for part in parts:
        for file in _named_as(part, path) if part == "validation" or "truth" not in found else ():
            with suppress(KitError):
                data = {"train": str(path), part: str(file), "image_size": SIDE}
                raw = open_source(DataConfig.model_validate(data), path.parent, part)
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
        for name in (like, f"{word}.npz", f"{word}.csv", f"{word}.tsv", word, f"{word}_images", *shards):
            if name in there and there[name] != path:
                yield there[name]


def _beside(train: str, path: Path) -> str:
    """What a file or folder that lies beside the training set is called in ``[data]``."""
    return (Path(train).parent / path.name).as_posix()
