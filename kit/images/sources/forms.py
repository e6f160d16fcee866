"""Lists of images other than tables of text: COCO's JSON, JSON records, and Parquet, as the Hugging Face Hub has it."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from kit.base.text import plain, some
from kit.errors import ConfigError, DataError, required
from kit.images.sources.classes import PAIRED
from kit.images.sources.raw import Held, row_ids
from kit.runtime.names import ID_NAMES, LABEL_NAMES, bare
from kit.store.files import read_text
from kit.store.tables import DELIMITERS, Table, read_table

SHARD = re.compile(r"(.*-)(\d{5})(-of-)(\d{5})(\.parquet)", re.IGNORECASE)
# Groups of rows are kept up to so many bytes: images are read in blocks, one after another, by several threads.
KEPT = 1 << 30
LARGEST = 4 << 30  # bytes of one group of rows, which is read at once


@dataclass(frozen=True)
class Groups:
    """The groups of rows of one reading that were needed last, the newest however large it is."""

    kept: dict[tuple[Path, str, int], Any] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def image(self, path: Path, name: str, group: int, row: int) -> bytes:
        """The file of the image in a row of a group, in the column ``name``."""
        key = path, name, group
        with self.lock:  # else every thread reads the group that the first one is reading
            if key not in self.kept:
                from pyarrow import parquet

                with parquet.ParquetFile(path) as file:
                    self.kept[key] = file.read_row_group(group, columns=[name]).column(name)
                while len(self.kept) > 1 and sum(kept.nbytes for kept in self.kept.values()) > KEPT:
                    del self.kept[next(iter(self.kept))]
            cell = self.kept[key][row].as_py()
        return bytes((cell.get("bytes") if isinstance(cell, dict) else cell) or b"")


def read_parquet(path: Path) -> tuple[Table, tuple[Held, ...]]:
    """The columns that are no images, as text, and the image of each row; of shards all, whichever is named.

    Cells of images are their paths, or else the numbers of the rows; numbers of classes the names that the Hub keeps.
    Raises `ConfigError` without pyarrow, and `DataError` where a file is missing or damaged.
    """
    arrow, parquet = (required(name, path.name, "'kit[parquet]'") for name in ("pyarrow", "pyarrow.parquet"))
    columns: dict[str, list[str]] = {}
    held: list[Held] = []
    groups = Groups()
    for shard in _shards(path):
        try:
            with parquet.ParquetFile(shard) as file:
                schema = file.schema_arrow
                pictures = [field.name for field in schema if _is_picture(field.type, arrow.types)]
                if pictures[1:]:
                    raise ConfigError(f"{shard.name} has several columns of images: {', '.join(pictures)[:200]}")
                texts = [name for name in schema.names if name not in pictures]
                named, read = _class_names(schema.metadata or {}), file.read(columns=texts).to_pydict()
                cells = {name: [_cell(value, named.get(name, ())) for value in read[name]] for name in texts}
                if pictures:
                    rows = [(group, row) for group, n in enumerate(_group_sizes(file, shard)) for row in range(n)]
                    cells[pictures[0]] = _paths(file, pictures[0]) or [""] * len(rows)
                    held += [Held(partial(groups.image, shard, pictures[0], group, row)) for group, row in rows]
        except (arrow.ArrowException, OSError) as error:
            raise DataError(f"{shard} cannot be read: {' '.join(str(error).split())[:200]}") from error
        if columns and list(columns) != list(cells):
            raise DataError(f"{shard} has other columns than {path.name}")
        for name, values in cells.items():
            columns.setdefault(name, []).extend(values)
    if not columns or not next(iter(columns.values())):
        raise DataError(f"{path} has no rows")
    if held and len(set(columns[pictures[0]]) - {""}) < len(held):
        columns[pictures[0]] = list(row_ids(len(held)))  # paths that are not there or not unique are no ids
    return Table(path, tuple(columns), tuple(zip(*columns.values(), strict=True))), tuple(held)


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.parquet"))
        sets = {re.split(r"\d", shard.stem, maxsplit=1)[0]: shard for shard in reversed(found)}
        if len(sets) > 1:
            one = next((shard for name, shard in sets.items() if "train" in name), found[0])
            raise DataError(f"{path} contains several sets: {some(sorted(sets))}", f'[data] train = "{one}"')
        return found
    named = SHARD.fullmatch(path.name)
    if not named:
        return [path]
    found = [path.with_name(f"{named[1]}{number:05d}{named[3]}{named[4]}{named[5]}") for number in range(int(named[4]))]
    missing = [shard.name for shard in found if not shard.is_file()]
    if missing:
        raise DataError(f"{path.name} is one of {named[4]} shards; {len(missing)} are missing, such as {missing[0]}")
    return found


def _is_picture(kind: Any, types: Any) -> bool:
    parts = {part.name: part.type for part in kind} if types.is_struct(kind) else {"bytes": kind}
    return "bytes" in parts and (types.is_binary(parts["bytes"]) or types.is_large_binary(parts["bytes"]))


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, Sequence[str]]:
    """Names of classes by column, from what the library `datasets` leaves in the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        inner = {name: one[0] if isinstance(one, list) else one.get("feature", one) for name, one in features.items()}
        return {name: one["names"] for name, one in inner.items() if one.get("_type") == "ClassLabel"}
    except (LookupError, ValueError, TypeError, AttributeError):
        return {}


def _group_sizes(file: Any, path: Path) -> list[int]:
    """Rows of each group; raises `DataError` where one says that it is larger than can be."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > LARGEST:
        raise DataError(f"{path}: {largest / 1e9:.1f} GB in a group of rows, at most {LARGEST / 1e9:.1f}")
    return [group.num_rows for group in groups]


def _paths(file: Any, name: str) -> list[str]:
    """Where the images came from, empty where one does not say so."""
    found = file.read(columns=[f"{name}.path"]).to_pydict().get(name, [])
    return [str(cell.get("path") or "") if isinstance(cell, dict) else "" for cell in found]


def read_listing(path: Path) -> tuple[Table, tuple[Held, ...]]:
    """A file's table of images, and those in it; `DataError` where it is damaged, `ConfigError` without a library."""
    suffix = path.suffix.lower()
    if suffix == ".parquet" or path.is_dir():
        return read_parquet(path)
    if suffix in (".json", ".jsonl"):
        return _read_json(path), ()
    # What other programs read lists of images from has spaces between the cells: `train/0001.png 7`.
    return _with_header(read_table(path, delimiters=f" {DELIMITERS}" if suffix == ".txt" else DELIMITERS)), ()


def _with_header(table: Table) -> Table:
    """The table, with a header where its first row is like all others; `DataError` where its columns are unclear."""
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
        lines = {n: line for n, line in enumerate(io.StringIO(text, newline=None), 1) if line.strip()}
        # Some give a file of records, one a line, the other suffix.
        if path.suffix.lower() != ".jsonl" and not (lines[min(lines)].rstrip().endswith("}") and len(lines) > 1):
            lines = {}
        found = [json.loads(line) for line in lines.values()] if lines else json.loads(text)
        records = found if isinstance(found, list) else _from_coco(found)
        header = tuple(dict.fromkeys(name for record in records for name in record))
        rows = [tuple(_cell(record.get(name)) for name in header) for record in records]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = plain(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
        raise DataError(f"{path} is neither COCO's JSON nor a list of records: {said}") from error
    if not rows or not header:
        raise DataError(f"{path} has no rows")
    return Table(path, header, tuple(rows), tuple(lines))


def _cell(value: Any, names: Sequence[str] = ()) -> str:
    """A cell as text: labels of a list apart; of a number in ``names`` the name, or of one below 0, hidden, nothing."""
    if isinstance(value, list):
        return PAIRED.join(_cell(one, names) for one in value)
    if names and isinstance(value, int):
        return str(names[value]) if 0 <= value < len(names) else ""
    return "" if value is None else str(value).strip()


def _from_coco(content: Mapping[str, Any]) -> list[dict[str, object]]:
    """A record for each image or key: its file, its categories and what else stands with it, such as a camera."""
    if "images" not in content and len(_simple(content)) == len(content):
        return [{"image": name, "label": label} for name, label in content.items()]
    names = {str(category["id"]): str(category["name"]) for category in content.get("categories", ())}
    found: dict[str, dict[str, None]] = {}
    for annotation in content.get("annotations", ()):
        found.setdefault(str(annotation["image_id"]), {})[names[str(annotation["category_id"])]] = None
    return [
        {
            "file_name": image["file_name"],
            "category": list(found.get(str(image["id"]), ())),
            **_simple(image, without=("id", "file_name", "category")),
        }
        for image in content["images"]
    ]


def _simple(record: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, object]:
    return {k: value for k, value in record.items() if k not in without and isinstance(value, str | int | float)}
