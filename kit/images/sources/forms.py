"""Lists of images in other forms than a table of text: COCO's JSON, lists of JSON records, and Parquet."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.base.text import plain, some
from kit.errors import DataError
from kit.images.sources.images import Held
from kit.images.sources.parquet import read_parquet
from kit.images.sources.table import ID_NAMES, LABEL_NAMES
from kit.runtime.names import bare
from kit.store.files import read_text
from kit.store.tables import Table, read_table


def read_listing(path: Path) -> tuple[Table, tuple[Held, ...]]:
    """What a file says of images, as a table, and the images themselves where they are in it.

    Raises `DataError` where it is missing or is not what its suffix says, and `ConfigError` where a library lacks.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet" or path.is_dir():
        return read_parquet(path)
    if suffix in (".json", ".jsonl"):
        return _read_json(path), ()
    # What other programs read lists of images from has spaces between the cells: `train/0001.png 7`.
    return _with_header(read_table(path, delimiters=" \t,;" if suffix == ".txt" else ",;\t")), ()


def _with_header(table: Table) -> Table:
    """The table, with a header where its first row is a file and its class like all others: it would be lost.

    Raises `DataError` where that row is like the others, but its columns cannot be told.
    """
    names = table.header
    is_known = not {name.lower().replace(" ", "_") for name in names}.isdisjoint(ID_NAMES + LABEL_NAMES)
    if not is_known and any(bare(name) != name or (len(names) == 2 and name in table.column(name)) for name in names):
        files = [bare(name) != name for name in names]
        if len(names) == 2 and sum(files) == 1:
            header = ("image", "label") if files[0] else ("label", "image")
            return replace(table, header=header, rows=(names, *table.rows), numbers=(1, *table.numbers))
        said = f"{table.path.name} has no header line: its first row is {some(names)}, like the others"
        raise DataError(said, "add a first line with the names of the columns, such as image,label")
    return table


def _read_json(path: Path) -> Table:
    text = read_text(path)
    try:
        lines: dict[int, str] = {}
        if path.suffix.lower() == ".jsonl":
            lines = {n: line for n, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip()}
        found = [json.loads(line) for line in lines.values()] if lines else json.loads(text)
        records = found if isinstance(found, list) else _from_coco(found, path)
        header = tuple(dict.fromkeys(name for record in records for name in record))
        rows = [
            tuple("" if record.get(name) is None else str(record[name]).strip() for name in header)
            for record in records
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = plain(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
        raise DataError(f"{path} is neither COCO's JSON nor a list of records: {said}") from error
    if not rows or not header:
        raise DataError(f"{path} has no rows")
    return Table(path, header, tuple(rows), tuple(lines))


def _from_coco(content: Mapping[str, Any], path: Path) -> list[dict[str, object]]:
    """A record for each image: its file, its category and what else stands with it, such as the place of a camera.

    A mapping of files to classes will do as well.

    An image with several boxes of one category has that category; `DataError` where it has two.
    """
    if "images" not in content and len(_simple(content, ())) == len(content):
        return [{"image": name, "label": label} for name, label in content.items()]
    names = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
    found: dict[object, dict[str, None]] = {}
    for annotation in content.get("annotations", ()):
        found.setdefault(annotation["image_id"], {})[names[annotation["category_id"]]] = None
    for image in content["images"]:
        several = list(found.get(image["id"], ()))
        if len(several) > 1:
            said = f"{path.name}: image {image['file_name']!r} has the categories {', '.join(several[:4])}"[:300]
            raise DataError(f"{said}; one label per image is supported")
    return [
        {
            "file_name": image["file_name"],
            "category": next(iter(found.get(image["id"], ())), ""),
            **_simple(image, without=("id", "file_name", "category")),
        }
        for image in content["images"]
    ]


def _simple(record: Mapping[str, Any], without: Sequence[str]) -> dict[str, object]:
    kept: Iterable[tuple[str, Any]] = ((name, value) for name, value in record.items() if name not in without)
    return {name: value for name, value in kept if isinstance(value, str | int | float)}
