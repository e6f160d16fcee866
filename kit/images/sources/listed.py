"""A ``.csv`` with ids and labels beside image files, which it names by path, by name, without suffix, or by number."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from os.path import commonprefix
from pathlib import Path

import numpy as np

from kit.base.tasks import TASKS
from kit.base.text import some
from kit.config import DataConfig
from kit.config.base import UNLABELLED
from kit.errors import ConfigError, DataError
from kit.images.sources import classes
from kit.images.sources.folder import image_files
from kit.images.sources.forms import read_listing
from kit.images.sources.images import open_images
from kit.images.sources.raw import RawSet, Rows
from kit.images.sources.table import beside_truth, find_id, find_label, from_flags, read_sample
from kit.images.sources.targets import Truth, of_table, paired
from kit.runtime.names import ID_NAMES, bare, folded, number, spelling
from kit.store.tables import LONGEST, Table

# The words in a folder's name that say that it is another part's, and the keys that name such folders: 1.jpg of the
# test is not 1.jpg of the training set.
OF_TEST = (("test", "testing"), ("test", "test_images", "truth"))
OF_TRAINING = (("train", "training"), ("train", "images", "external"))

Folder = tuple[str, ...]
# The forms in which an id is compared with a file's name, one after the other.
FORMS: tuple[Callable[[str], str], ...] = (
    str, lambda name: bare(name) + spelling(name)[len(bare(name)) :].lower(), bare,
    lambda name: number(bare(name)), lambda name: folded(bare(name)),
)  # fmt: skip


def open_csv(spec: str, data: DataConfig, root: Path, part: str) -> RawSet:
    """Read a table and the image files that it names (see `Finder`); the test part needs no labels.

    A row whose file is not there is listed like an unreadable image; one without a label has the label -1. Raises
    `DataError` where an id stands twice, a label is no class or several, or no row's file is found, and `ConfigError`
    where a column cannot be told.
    """
    table, held = read_listing(root / Path(spec).expanduser())
    sample = _sample(data, root)
    column = find_id(table, data.id, sample)
    if part not in UNLABELLED:
        table, kept = paired(table, data, column)
        held = tuple(held[row] for row in kept) if held else ()
    ids = table.column(column)
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if not name:
            raise DataError(f"{table.line(row)} has no id")
        if first.setdefault(name, row) != row:
            before = table.line(first[name]).removeprefix(f"{table.path.name} ")
            raise DataError(f"{table.line(row)}: id {name[:LONGEST]!r} already appears in {before}")
    truth = Truth(np.full(len(ids), -1, np.int64), ())
    if part not in UNLABELLED:
        truth = _classified(table, column, sample, data, root)
    groups, weights, notes = beside_truth(table, data, part, column, sample)
    told = truth._replace(notes=(*truth.notes, *notes))._asdict()
    rows = Rows(ids=tuple(ids), groups=groups, weights=weights, task=TASKS[data.task], **told)
    return open_images(rows, held or _files(table, column, data, root, part), data, f"data.{part} = {spec!r}")


def csv_classes(path: Path, data: DataConfig, root: Path) -> tuple[str, ...]:
    """Names of the classes, in label order."""
    table, sample = read_listing(path)[0], _sample(data, root)
    column = find_id(table, data.id, sample)
    return _classified(paired(table, data, column)[0], column, sample, data, root).classes


def _sample(data: DataConfig, root: Path) -> Table | None:
    return read_sample(root / Path(data.sample_submission).expanduser()) if data.sample_submission else None


def _files(table: Table, ids: str, data: DataConfig, root: Path, part: str) -> tuple[Path | None, ...]:
    """The image file of every row, by the column that names most of them; `DataError` where none does."""
    usual = [name for name in table.header if name.lower().replace(" ", "_") in ID_NAMES and name != ids]
    # A name with the suffix of an image is one of a file, and a number in another column need not be.
    is_bare = {name: bare(table.column(name)[0]) == table.column(name)[0] for name in (ids, *usual)}
    finder, by = Finder(table.path, data, root, part), ids
    best: list[Path | None] = [None] * len(table.rows)
    for name in sorted(is_bare, key=is_bare.__getitem__):
        if None not in best and (data.id or is_bare[name] != is_bare[by]):
            break
        found = finder.find(table.column(name))
        if None not in (*best, *found) and best != found:
            said = f"{table.path.name}: the columns {by!r} and {name!r} name other files of row {table.line(0)}"
            raise ConfigError(said, f'[data] id = "{name}"')
        best, by = min((best, by), (found, name), key=lambda one: one[0].count(None))
    if any(best):
        return tuple(best)
    places = some([str(folder) for folder in finder.folders], 4) or "no folder"
    said = f"{table.path.name}: no image file for id {table.column(ids)[0][:LONGEST]!r} or any other id"
    said += f"; searched in {places}" + (f", also by the columns {some(usual)}" if usual else "")
    raise DataError(said, f'[data] {"images" if part == "train" else "test_images"} = "folder"')


def _classified(table: Table, ids: str, sample: Table | None, data: DataConfig, root: Path) -> Truth:
    """Labels (N,), -1 for none, the names of the classes, and what a person should know of them."""
    if TASKS[data.task].kind != "classes":
        return of_table(table, data, root, sample)
    named, columns = classes.named_classes(data, root), find_label(table, data.label, ids, sample)
    where = [table.line(row) for row in range(len(table.rows))]
    if not isinstance(columns, str):
        hot = from_flags(table, columns)
        if named:
            values = [columns[label] if label >= 0 else "" for label in hot]
            return Truth(classes.to_labels(values, named, where), named)
        used = np.unique(hot[hot >= 0])
        empty = [name for label, name in enumerate(columns) if label not in used]
        said = f"{table.path.name}: no image of {some(empty)}; its probability will be 0"
        labels = np.where(hot < 0, -1, np.searchsorted(used, hot))
        return Truth(labels, tuple(columns[label] for label in used), (said,) if empty else ())
    values = table.column(columns)
    if not named:
        names = set(sample.header[1:]) if sample is not None and len(sample.header) > 2 else set[str]()
        first = {v: w for v, w in zip(reversed(values), reversed(where), strict=True) if not classes.is_unlabelled(v)}
        single = {value: place for value, place in first.items() if value not in names}
        classes.check_single(single, {*first, *names}, columns)
        named = classes.labelled_names(values)
    labels = classes.to_labels(values, named, where)
    unknown = Counter(value for value, label in zip(values, labels, strict=True) if label < 0 and value)
    said = f"{table.path.name}: {some([repr(value) for value in unknown])} in column {columns!r} is no label"
    hint = "if it is a class, name it in the file [data] classes"
    return Truth(labels, named, (f"{said} ({unknown.total()} rows); {hint}",) if unknown else ())


def _ends_with(path: Folder, end: Folder) -> bool:
    return path[max(len(path) - len(end), 0) :] == end


class Finder:
    """The image files of one part that ``table`` names; `DataError` where the configured folder does not exist."""

    def __init__(self, table: Path, data: DataConfig, root: Path, part: str) -> None:
        key = {"train": "images", "test": "test_images"}.get(part, "")
        named = str(getattr(data, key)) if key else ""
        if named:
            self.folders = [root / Path(named).expanduser()]
            if not self.folders[0].is_dir():
                raise DataError(f"data.{key} = {named!r}: no such folder")
        else:
            stems = list(dict.fromkeys((table.stem, part)))
            names = [name for stem in stems for name in (stem, f"{stem}_images", f"{stem}-images", f"images/{stem}")]
            candidates = [table.parent / name for name in (*names, "images")] + [table.parent]
            self.folders = [folder for folder in candidates if folder.is_dir()]
        self._bases = self.folders if named else [table.parent, root]
        self._words, keys = OF_TRAINING if part in ("test", "truth") else OF_TEST
        paths = [root / Path(getattr(data, key)).expanduser() for key in keys if getattr(data, key)]
        self._elsewhere = [path.resolve() for path in paths if path.is_dir()]

    def find(self, names: Sequence[str]) -> list[Path | None]:
        """The file of every name, from the folder that has most of them; None for the others.

        A name is a path that exists, or the end of one, or a name that only one file bears in one of `FORMS`. Of a
        path of another machine what follows the folders that all names share has to be the end of one here. An image in
        a folder of another part has to be named with that folder.
        """
        plain = {name: posixpath.normpath(name.replace("\\", "/")) for name in names}
        whole = {
            name: next((base / path for base in self._bases if "/" in path and (base / path).is_file()), None)
            for name, path in plain.items()
        }
        best = whole
        for folder in self.folders:
            if None not in best.values():
                break
            found = {name: whole[name] or path for name, path in self._in(folder, plain).items()}
            if Counter(found.values())[None] < Counter(best.values())[None]:
                best = found
        return [best[name] for name in names]

    def _in(self, folder: Path, plain: dict[str, str]) -> dict[str, Path | None]:
        files = [(tuple(path.split("/")[:-1]), path.rpartition("/")[2]) for path in image_files(folder)]
        barred = {below: self._is_of_another(folder, below) for below in {below for below, _ in files}}
        wanted = {name: tuple(spelling(path).split("/")[:-1]) for name, path in plain.items()}
        # The folders that all names begin with tell nothing, and may be those of another machine.
        shared = len(commonprefix(list(wanted.values())))  # noqa: RUF071 (of tuples, folder by folder)
        above = tuple(map(spelling, folder.resolve().parts))
        result: dict[str, Path | None] = dict.fromkeys(plain)

        def choose(files: list[tuple[Folder, str]], asked: Folder) -> Path | None:
            exact, named, ending = [], [], []
            for below, last in files:
                own, path = tuple(map(spelling, below)), folder.joinpath(*below, last)
                if own == asked and (asked or not barred[below]):
                    exact.append(path)
                if asked and _ends_with((*above, *own), asked):
                    named.append(path)
                if not barred[below] and _ends_with((*above, *own), asked[shared:]):
                    ending.append(path)
            fit = exact or named or ending
            return fit[0] if len(fit) == 1 else None

        for form in FORMS:
            by_form = defaultdict(list)
            for below, last in files:
                by_form[form(last)].append((below, last))
            keys = {name: form(plain[name].rpartition("/")[2]) for name, path in result.items() if path is None}
            # What a form cannot tell apart, it does not find; nor what another name has found already.
            claims, taken = Counter((wanted[name], key) for name, key in keys.items()), set(result.values())
            for name, key in keys.items():
                path = choose(by_form[key], wanted[name]) if key in by_form and claims[wanted[name], key] == 1 else None
                result[name] = None if path in taken else path
        return result

    def _is_of_another(self, folder: Path, below: Folder) -> bool:
        """Whether the folder ``below`` the one that is searched is another part's."""
        path = folder.joinpath(*below).resolve()
        words = {word for name in below for word in re.split(r"[^a-z]+", name.lower())}
        shared = folder.resolve()
        named = (path.is_relative_to(other) and not shared.is_relative_to(other) for other in self._elsewhere)
        return not words.isdisjoint(self._words) or any(named)
