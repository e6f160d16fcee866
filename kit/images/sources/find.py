"""The image files that a table names: by path, by name, without suffix, or by number."""

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from os.path import commonprefix
from pathlib import Path

from kit.config import DataConfig
from kit.errors import DataError
from kit.images.sources.folder import image_files
from kit.runtime.names import bare, folded, number, spelling

# For each part the words in a folder's name that say that it is another part's, and the keys that name such folders:
# 1.jpg of the test is not 1.jpg of the training set.
FOR_TRAINING = (("test", "testing"), ("test", "test_images", "truth"))
FOR_TEST = (("train", "training"), ("train", "images", "external"))
OTHERS = {
    "train": FOR_TRAINING,
    "validation": FOR_TRAINING,
    "external": FOR_TRAINING,
    "test": FOR_TEST,
    "truth": FOR_TEST,
}

Folder = tuple[str, ...]


# The forms in which an id is compared with a file's name, one after the other.
FORMS: tuple[Callable[[str], str], ...] = (
    str, lambda name: bare(name) + spelling(name)[len(bare(name)) :].lower(), bare,
    lambda name: number(bare(name)), lambda name: folded(bare(name)),
)  # fmt: skip


def _ends_with(path: Folder, end: Folder) -> bool:
    return path[max(len(path) - len(end), 0) :] == end


class Finder:
    """The image files of one part that ``table`` names; see `find`.

    Raises `DataError` where the folder that the configuration names does not exist.
    """

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
        self._words, keys = OTHERS[part]
        paths = [root / Path(getattr(data, key)).expanduser() for key in keys if getattr(data, key)]
        self._elsewhere = [path.resolve() for path in paths if path.is_dir()]

    def find(self, names: Sequence[str]) -> list[Path | None]:
        """The file of every name, from the folder that has most of them; None for the others.

        A name is a path that exists, or the end of one, or a name that only one file bears: as it is, with a suffix in
        another case, without the suffix of an image, as a number (7 is 007.png), or without case. Of a path of another
        machine what follows the folders that all names share has to be the end of one here. An image in a folder of
        another part has to be named with that folder.
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
