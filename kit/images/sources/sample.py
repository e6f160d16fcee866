"""The competition's sample file: what it asks for."""

from pathlib import Path
from typing import Any

from kit.config.competition import METRICS
from kit.images.sources.table import ID_NAMES, LABEL_NAMES
from kit.runtime.answer import answers
from kit.runtime.decide import Decision
from kit.store.tables import Table, read_table


def read_sample(path: Path) -> Table:
    """The sample file with the column of ids first, wherever it stands in the file; errors as `read_table`."""
    table = read_table(path)
    first, *others = table.header
    if first.lower() in ID_NAMES or (first.lower() not in LABEL_NAMES and len(set(table.column(first))) > 1):
        return table
    ids = [name for name in others if name.lower() in ID_NAMES and len(set(table.column(name))) == len(table.rows)]
    return table.chosen((ids[0], *(name for name in table.header if name != ids[0]))) if ids else table


def answer(
    sample: Table, proba: Any, classes: tuple[str, ...], metric: str, decision: Decision | None = None
) -> list[list[str]]:
    """`kit.runtime.answer.answers` for a sample file; raises `Mismatch` where they do not fit."""
    seen = set(sample.column(sample.header[1])) if len(sample.header) > 1 else set()
    of_proba = metric if METRICS[metric].needs_proba else ""
    return answers(sample.header, seen, proba, classes, of_proba, sample.path.name, decision)
