"""Parquet: tables, and images inside them as the Hugging Face Hub stores them, in one file or in shards."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from kit.base.text import some
from kit.errors import ConfigError, DataError
from kit.images.sources.images import Held
from kit.images.sources.raw import row_ids
from kit.store.tables import Table

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
                self.kept[key] = _group(path, name, group)
                while len(self.kept) > 1 and sum(kept.nbytes for kept in self.kept.values()) > KEPT:
                    del self.kept[next(iter(self.kept))]
            cell = self.kept[key][row].as_py()
        return bytes((cell.get("bytes") if isinstance(cell, dict) else cell) or b"")


def read_parquet(path: Path) -> tuple[Table, tuple[Held, ...]]:
    """The columns that are no images, as text, and the image of each row; of shards all, whichever is named.

    Images are a column of bytes, or of structures with ``bytes`` and ``path``, whose cells in the table are their
    paths, or else the numbers of the rows. Numbers of a column of classes are replaced by the names that the Hub keeps
    for them.

    Raises `ConfigError` without pyarrow, and `DataError` where a file is missing or damaged.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(f"{path.name} needs pyarrow, which is not installed", "pip install 'kit[parquet]'") from error
    columns: dict[str, list[str]] = {}
    held: list[Held] = []
    groups = Groups()
    for shard in _shards(path):
        try:
            with parquet.ParquetFile(shard) as file:
                schema, pictures = (
                    file.schema_arrow,
                    [field.name for field in file.schema_arrow if _is_picture(field, arrow)],
                )
                if pictures[1:]:
                    raise ConfigError(f"{shard.name} has several columns of images: {', '.join(pictures)[:200]}")
                texts = [name for name in schema.names if name not in pictures]
                cells = _cells(file.read(columns=texts), _class_names(schema.metadata or {}))
                if pictures:
                    rows = [(group, row) for group, n in enumerate(_group_sizes(file, shard)) for row in range(n)]
                    cells[pictures[0]] = _paths(file, pictures[0]) or [""] * len(rows)
                    held += [Held(partial(groups.image, shard, pictures[0], group, row)) for group, row in rows]
        except (arrow.ArrowException, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"{shard} cannot be read: {said}") from error
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


def _is_picture(field: Any, arrow: Any) -> bool:
    kind = field.type
    if arrow.types.is_struct(kind):
        names = {kind.field(place).name: kind.field(place).type for place in range(kind.num_fields)}
        return "bytes" in names and (
            arrow.types.is_binary(names["bytes"]) or arrow.types.is_large_binary(names["bytes"])
        )
    return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, Sequence[str]]:
    """Names of classes by column, from what the library `datasets` leaves in the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: feature["names"] for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _cells(table: Any, names: dict[str, Sequence[str]]) -> dict[str, list[str]]:
    """Columns as text; a number of a class below 0, which stands for a hidden one, is empty."""

    def text(name: str, value: Any) -> str:
        if value is None:
            return ""
        if name in names and isinstance(value, int):
            return str(names[name][value]) if 0 <= value < len(names[name]) else ""
        return str(value).strip()

    return {name: [text(name, value) for value in table.column(name).to_pylist()] for name in table.column_names}


def _group_sizes(file: Any, path: Path) -> list[int]:
    """Rows of each group; raises `DataError` where one says that it is larger than can be."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    for group in groups:
        if group.total_byte_size > LARGEST:
            raise DataError(
                f"{path}: {group.total_byte_size / 1e9:.1f} GB in a group of rows, at most {LARGEST / 1e9:.1f}"
            )
    return [group.num_rows for group in groups]


def _paths(file: Any, name: str) -> list[str]:
    """Where the images came from, empty where one does not say so."""
    found = file.read(columns=[f"{name}.path"]).to_pydict().get(name, [])
    return [str(cell.get("path") or "") if isinstance(cell, dict) else "" for cell in found]


def _group(path: Path, name: str, group: int) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[name]).column(name)
