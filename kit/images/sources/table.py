"""The columns of a competition's table, found by their names."""

from collections.abc import Sequence

from kit.errors import ConfigError
from kit.store.tables import Table

ID_NAMES = (
    "id", "image_id", "image", "img", "filename", "file_name", "file", "image_name", "imageid", "imagename",
    "image_path", "img_path", "path", "filepath", "file_path", "img_id", "imgid", "id_code", "name", "uuid",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "target", "category", "diagnosis", "class_name", "classname", "label_name", "class_id",
    "species", "breed", "y", "dx", "category_id", "predicted", "prediction",
)  # fmt: skip


def find_id(table: Table, named: str, sample: Table | None = None) -> str:
    """The column with the images' ids: as configured, as in the sample file, or by its name.

    Raises `ConfigError` where it cannot be told; the columns are listed.
    """
    if named:
        table.column(named, "id")
        return named
    if sample is not None and sample.header[0] in table.header:
        return sample.header[0]
    return _by_name(table, ID_NAMES, "id")


def find_label(table: Table, named: str, id_column: str, sample: Table | None = None) -> str | tuple[str, ...]:
    """The column with the classes, or the columns, one a class, whose cells are 0 but for a single 1.

    Raises `ConfigError` where it cannot be told; the columns are listed.
    """
    if named:
        table.column(named, "label")
        return named
    others = [name for name in table.header if name != id_column]
    if sample is not None and len(sample.header) == 2 and sample.header[1] in others:
        return sample.header[1]
    if len(others) == 1:
        return others[0]
    if any(name.lower() in LABEL_NAMES for name in others):
        return _by_name(table, LABEL_NAMES, "label", others)
    one_hot = tuple(name for name in others if set(table.column(name)) <= {"0", "1", "0.0", "1.0"})
    if len(one_hot) > 1 and all(sum(float(row[table.header.index(n)]) for n in one_hot) == 1 for row in table.rows):
        return one_hot
    return _by_name(table, LABEL_NAMES, "label", others)


def _by_name(table: Table, names: Sequence[str], key: str, columns: Sequence[str] | None = None) -> str:
    columns = table.header if columns is None else columns
    lower = {name.lower().replace(" ", "_"): name for name in columns}
    found = next((lower[name] for name in names if name in lower), None)
    if found is not None:
        return found
    said = f"{table.path.name}: no column was recognized as the {key} among {table.listed()}"
    raise ConfigError(said, f'[data] {key} = "{table.header[0] if key == "id" else table.header[-1]}"')
