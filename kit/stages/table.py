"""``kit table``: the blend's predictions of the test images as the competition's ``submission.csv``."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kit.base.events import Emit, Event
from kit.base.text import some
from kit.config import Config
from kit.errors import DataError, StageError
from kit.images.sources.table import read_sample
from kit.runs.results import load_test
from kit.runs.spec import plan_runs
from kit.runtime import answer as cells
from kit.runtime import pool
from kit.runtime.names import columns_of
from kit.store.candidate import Ensemble
from kit.store.data import load_index, unlabelled_record
from kit.store.files import lock, write_atomic
from kit.store.layout import Layout, SubmissionPaths
from kit.store.tables import Table, read_table

Proba = npt.NDArray[np.float64]

TOLERANCE = 1e-6  # how far from 1 a host lets the probabilities of a row sum


def table(layout: Layout, config: Config, paths: SubmissionPaths, emit: Emit) -> Path:
    """Write ``submission.csv`` of a candidate: columns, ids and order of the sample file, checked as a host would.

    Without a sample file: ``id,label``, or ``id`` and a column a class where the metric needs probabilities. Raises
    `StageError` where there are no test images, or a member has not predicted them, and `DataError` where the sample
    file asks for ids or classes that there are none of.
    """
    with lock(layout.data_lock, "data/", shared=True):
        record = Ensemble.load(paths.ensemble)
        ids, proba = blend_of_test(layout, config, record)
    classes, of_proba = record.classes, config.competition.metric_of_proba
    if config.data.sample_submission:
        sample = read_sample(layout.named(config.data.sample_submission))
    else:
        proba_wanted = bool(of_proba or record.blend.params.several)
        header = ("id", *classes) if proba_wanted else ("id", "label")
        row = ("0.5",) * len(classes) if proba_wanted else (classes[0],)
        sample = Table(Path("the plain layout"), header, tuple((name, *row) for name in ids))
    try:
        described = record.blend.described()
        answers = cells.fill(sample.header, sample.rows, ids, proba, described, of_proba, sample.path.name)
    except cells.Mismatch as error:
        raise DataError(error.message, error.hint) from error
    names, several = sample.column(sample.header[0]), bool(record.blend.params.several)
    made = replace(sample, rows=tuple((name, *line) for name, line in zip(names, answers, strict=True)))
    check_table(_written(made), sample, several=several)
    text = _written(made.chosen(read_table(sample.path).header) if config.data.sample_submission else made)
    if paths.table.exists() and paths.table.read_bytes() == text.encode():
        emit(Event("fresh", "table", {"stage": "table", "submission": paths.root.name}))
        return paths.table
    if not several and not (record.blend.decision and record.blend.decision.values):
        columns = sample.header[1:]
        if len(columns) > 1 and (unknown := np.delete(columns, columns_of(columns, classes)).tolist()):
            emit(Event("warn", f"no class is called {some(unknown)}: its probability is 0 in every row"))
        if len(columns) == 1 and of_proba:
            found = cells.class_of_column(columns[0], classes)
            emit(Event("say", f"{columns[0]} is the probability of the class {classes[found if found >= 0 else 1]}"))
    write_atomic(paths.table, text)
    said = f"{len(answers)} rows with the columns {', '.join(sample.header[:6])}, as {sample.path.name} has"
    emit(Event("say", said))
    emit(Event("wrote", "", {"paths": [paths.table]}))
    return paths.table


def _written(table: Table) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(table.rows)
    return buffer.getvalue()


def blend_of_test(layout: Layout, config: Config, record: Ensemble) -> tuple[tuple[str, ...], Proba]:
    """Ids and probabilities (N, C) of the present test images under the blend of ``record``; errors as `table`."""
    test, index = unlabelled_record(layout, "test"), load_index(layout)
    if test is None:
        raise StageError("there are no test images to predict", '[data] test = "raw/test", then kit train')
    specs = plan_runs(layout, config, [member.run for member in record.members])
    members = [load_test(specs[member.run], index, test) for member in record.members]
    ids = members[0].ids
    views = [member.take(ids).select(record.views).logits for member in members]
    return tuple(ids.tolist()), record.blend.apply(pool.from_logits(np.stack(views), members[0].several))


def check_table(text: str, sample: Table, *, several: bool = False) -> None:
    """Refuse what a strict host would refuse, each with the line.

    Checked are the columns and their order, the number of rows, the ids (all of the sample's, none twice, in its
    order), empty cells, and for several answer columns that they are numbers from 0 to 1 that sum to 1 within 1e-6.
    With ``several`` labels an image there is no such sum, a list may be empty, and an id may have a line for each.
    Raises `DataError` at the first thing that is wrong.
    """
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(lines[0]) != sample.header:
        found = ", ".join(lines[0]) if lines else "nothing"
        raise DataError(f"the header is {found}, but the sample has {', '.join(sample.header)}")
    wanted = sample.column(sample.header[0])
    if len(lines) - 1 != len(wanted):
        raise DataError(f"{len(lines) - 1} rows, but the sample has {len(wanted)}")
    first: dict[str, int] = {}
    repeated = several and len(set(wanted)) < len(wanted)
    for number, (line, expected) in enumerate(zip(lines[1:], wanted, strict=True), start=2):
        name = line[0] if line else ""
        if first.setdefault(name, number) != number and not several:
            raise DataError(f"line {number}: id {name!r} is already in line {first[name]}")
        if name != expected:
            raise DataError(f"line {number} has the id {name!r}, but the sample has {expected!r}")
        if len(line) != len(sample.header):
            raise DataError(f"line {number} has {len(line)} cells, but the header has {len(sample.header)}")
        told = line[:1] if several and len(line) == 2 else line
        if any(not cell.strip() or cell.strip().lower() in ("nan", "inf", "-inf") for cell in told):
            raise DataError(f"line {number} ({name}) has an empty or non-finite cell")
        if len(sample.header) > 2:
            try:
                values = [float(cell) for cell in (line[-1:] if repeated else line[1:])]
            except ValueError as error:
                raise DataError(f"line {number} ({name}) has a cell that is not a number") from error
            if min(values) < 0 or max(values) > 1 or (not several and abs(sum(values) - 1) > TOLERANCE):
                raise DataError(f"line {number} ({name}): probabilities from {min(values)} to {max(values)}, "
                                f"sum {sum(values):.7f}")  # fmt: skip
