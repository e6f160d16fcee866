"""How names of classes and images are compared: as they are written, and then in the forms that tools give them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

# Of the image files that `kit.runtime.decode` reads; here, because arrays are predicted without its Pillow.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif",
    ".heic", ".heif", ".dcm", ".dicom",
)  # fmt: skip
# Columns of tables, in the names that competitions give them.
ID_NAMES = (
    "id", "image_id", "image", "img", "filename", "file_name", "file", "image_name", "imageid", "imagename",
    "image_path", "img_path", "path", "filepath", "file_path", "img_id", "imgid", "id_code", "name", "uuid",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "target", "category", "diagnosis", "class_name", "classname", "label_name", "class_id",
    "classid", "species", "breed", "y", "dx", "category_id", "predicted", "prediction",
)  # fmt: skip
# 7, 007 and 7.0, as spreadsheets and pandas rewrite a number; longer ones lose digits there. R and `np.savetxt` write
# an exponent, always with its sign and two digits: 1e+05, 7.000e+00.
_WHOLE = re.compile(r"[+-]?(\d{1,18}(\.0*)?|\d(\.\d{0,18})?e[+]\d\d)", re.ASCII)


def spelling(name: str) -> str:
    """The name with composed accents (NFC) and without spaces around."""
    return unicodedata.normalize("NFC", name.strip())


def whole(name: str) -> int | None:
    """The whole number that a name is (7, 007, 7.0), None where it is none."""
    if not _WHOLE.fullmatch(name):
        return None
    plain, exponent, _ = name.partition("e")
    if not exponent:
        return int(plain.partition(".")[0])
    value = float(name)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else None


def number(name: str) -> str:
    """The spelling of a name, of whole numbers the shortest: ``7`` of ``007`` and ``7.0``."""
    plain = spelling(name)
    found = whole(plain)
    return plain if found is None else str(found)


def answers(classes: Sequence[str]) -> list[int]:
    """What a platform that wants numbers is told of a class: its own number where all are numbers, else its place."""
    found = [number for number in map(whole, classes) if number is not None]
    return found if len(set(found)) == len(classes) else list(range(len(classes)))


def folded(name: str) -> str:
    """The spelling of a name in one case."""
    return spelling(spelling(name).casefold())


def bare(name: str) -> str:
    """A file's name without the suffix of an image; what follows another dot is part of the name."""
    stem, dot, suffix = spelling(name).rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else spelling(name)


def match(
    names: Sequence[str], wanted: Sequence[str], keys: Sequence[Callable[[str], str]] = (str, spelling, number)
) -> list[int]:
    """Where each name of ``wanted`` stands in ``names``, -1 where it does not.

    The first of ``keys`` under which all are found is taken, or else the one that finds the most. What a key cannot
    tell apart, it does not find.
    """
    best = [-1] * len(wanted)
    for key in keys:
        theirs, ours = [key(name) for name in names], [key(name) for name in wanted]
        there, once = Counter(theirs), Counter(ours)
        place = {name: row for row, name in enumerate(theirs) if there[name] == 1}
        found = [place.get(name, -1) if once[name] == 1 else -1 for name in ours]
        if found.count(-1) < best.count(-1):
            best = found
        if -1 not in best:
            break
    return best


def columns_of(columns: Sequence[str], classes: Sequence[str], read: Callable[[str], str] = str) -> list[int]:
    """Where each class stands in ``columns``, -1 for nowhere: after ``class`` as `kit predict` writes it, alone,
    or with the same around all of them, as in ``prob_cat`` and ``class1``. ``read`` undoes what guards a name."""
    around = [("class ", ""), ("", "")]
    first = re.compile(re.escape(classes[0]), re.IGNORECASE)
    around += [(name[: at.start()], name[at.end() :]) for name in columns for at in first.finditer(name)]
    for before, after in around:
        # What lacks these is none of the classes.
        found = [k for k, name in enumerate(columns) if name.startswith(before) and name.endswith(after)]
        cores = [columns[k][len(before) : len(columns[k]) - len(after)] for k in found]
        rows = match(cores, classes, (str, read, spelling, number, folded))
        if -1 not in rows:
            return [found[row] for row in rows]
    return match(columns, classes)
